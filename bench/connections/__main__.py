"""What does a connection cost: to make, and to keep? 5,000 of them, to sensorcast, Node Socket.IO and python-socketio.

A connection is made when TCP, WebSocket upgrade, Engine.IO handshake and the Socket.IO CONNECT with its token are
through. Each server runs on one core, all clients on another; rounds alternate between the servers, and the median is
printed. Targets: at least twice Node's connects/s, at most half its memory per connection.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.machine import describe
from bench.servers import CLIENT_CORE, NAMES, Workload, install_peers
from bench.session import Session, session

SERVERS = ("sensorcast", "node", "python-socketio")


class Round(msgspec.Struct, frozen=True):
    """What one round has shown of one server."""

    connects_per_s: float
    cpu_us_per_connect: float
    rss_kib: float
    failed: int


def take(run: Session) -> Round:
    return Round(run.connects_per_s, run.cpu_us_per_connect, run.rss_kib_resting, run.clients.joined.failed)


@dataclass(frozen=True)
class Summary:
    """All rounds of one server."""

    server: str
    rounds: list[Round]

    def median(self, value: Callable[[Round], float]) -> float:
        return statistics.median(map(value, self.rounds))

    @property
    def connects_per_s(self) -> float:
        return self.median(lambda one: one.connects_per_s)

    @property
    def rss_kib(self) -> float:
        return self.median(lambda one: one.rss_kib)

    def __str__(self) -> str:
        failed = sum(one.failed for one in self.rounds)
        return (
            f"{self.server:<16}{self.connects_per_s:>12,.0f}{self.median(lambda one: one.cpu_us_per_connect):>12.0f} us"
            f"{self.rss_kib:>16.1f} KiB{f'  ({failed} failed)' if failed else ''}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.connections", description=__doc__)
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=SERVERS)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    install_peers()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", "python-socketio", programs=("node", "cc")), flush=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    workload = Workload(organizations=1, clients=chosen.connections, units=0)
    summaries = [Summary(name, []) for name in chosen.servers]
    for _ in range(chosen.rounds):
        for summary in summaries:
            with session(summary.server, workload) as run:
                summary.rounds.append(take(run))
    print(f"\n{'server':<16}{'connects/s':>12}{'CPU/connect':>15}{'RSS/connection':>20}")
    print("\n".join(map(str, summaries)))
    first, *others = summaries
    for other in others:
        faster, larger = first.connects_per_s / other.connects_per_s, first.rss_kib / other.rss_kib
        print(f"  {first.server}: {faster:.2f} times the connects/s of {other.server}, {larger:.2f} times its memory")
    if chosen.json:
        results = {summary.server: summary.rounds for summary in summaries}
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


if __name__ == "__main__":
    sys.exit(main())
