"""What does the bus cost when all clients are local? The same load on one server without Redis and with it.

The server has the first core; clients, gateway and Redis share the second. Rounds alternate, and every second one
begins with the other, so that a machine whose speed drifts favours neither; the median of the rounds' own ratios is
the answer. Target: at most 1.10 times the processor time per delivered event. Without Redis the server is on the bus of
a single process, which encodes and sends nothing. Messages are the server's: its readings, and one beat a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.bus.measure import Result, measure
from bench.fanout.__main__ import workload
from bench.machine import describe
from bench.servers import CLIENT_CORE, CORES, Workload

WORKLOADS = (Workload(organizations=1, clients=500, units=20), Workload(organizations=1, clients=5_000, units=20))
WANTED = 1.10


@dataclass(frozen=True)
class Comparison:
    """All rounds of one workload, in pairs."""

    workload: Workload
    alone: list[Result] = field(default_factory=list)
    on_redis: list[Result] = field(default_factory=list)

    def add_round(self, number: int, seconds: float) -> None:
        """Measure both, in an order that changes from round to round."""
        both = [(False, self.alone), (True, self.on_redis)]
        for with_redis, results in both if number % 2 == 0 else reversed(both):
            results.append(measure(self.workload, with_redis=with_redis, seconds=seconds))

    def ratios(self) -> list[float]:
        pairs = zip(self.alone, self.on_redis, strict=True)
        return [theirs.cpu_us_per_event / ours.cpu_us_per_event for ours, theirs in pairs]

    def __str__(self) -> str:
        ratios = self.ratios()
        ratio = statistics.median(ratios)
        beats_per_s = 1.0
        messages = median(self.on_redis, lambda one: one.messages_per_s) - beats_per_s
        lines = [
            f"{'bus':<8}{'CPU/event':>12}{'CPU':>14}{'woken up':>11}"
            f"{'Redis CPU':>15}{'messages':>12}{'to Redis':>14}{'from Redis':>14}",
            _row("none", self.alone),
            _row("Redis", self.on_redis),
            f"  ratio {ratio:.3f} (rounds: {', '.join(f'{each:.3f}' for each in sorted(ratios))}), "
            f"wanted at most {WANTED:.2f}: {'ok' if ratio <= WANTED else 'MISSED'}; "
            f"{messages:.1f} messages with readings per flush",
        ]
        return "\n".join(lines)


def median(results: list[Result], value: Callable[[Result], float]) -> float:
    return statistics.median(map(value, results))


def _row(name: str, results: list[Result]) -> str:
    lost = sum(one.lost_connections for one in results)
    return (
        f"{name:<8}{median(results, lambda one: one.cpu_us_per_event):>9.2f} us"
        f"{median(results, lambda one: one.cpu_ms_per_s):>9.2f} ms/s"
        f"{median(results, lambda one: one.wake_ups_per_s):>9.1f}/s"
        f"{median(results, lambda one: one.redis_cpu_ms_per_s):>10.2f} ms/s"
        f"{median(results, lambda one: one.messages_per_s):>10.2f}/s"
        f"{median(results, lambda one: one.bytes_in_per_s):>10,.0f} B/s"
        f"{median(results, lambda one: one.bytes_out_per_s):>10,.0f} B/s"
        f"{f'  ({lost} connections lost)' if lost else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bus", description=__doc__)
    parser.add_argument("--workloads", nargs="+", type=workload, default=WORKLOADS, metavar="[ORGSx]CLIENTSxUNITS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measured window")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    chosen = parser.parse_args()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", "redis", programs=("redis-server", "cc")), flush=True)
    if len(CORES) < 2:
        print("warning: only one core, so server, clients and Redis disturb each other")
    os.sched_setaffinity(0, {CLIENT_CORE})
    comparisons = []
    for each in chosen.workloads:
        comparison = Comparison(each)
        for number in range(chosen.rounds):
            comparison.add_round(number, chosen.seconds)
        print(f"\n{each}: {each.events_per_flush:,} events a second\n{comparison}", flush=True)
        comparisons.append({"workload": str(each), "none": comparison.alone, "redis": comparison.on_redis})
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(comparisons)))


if __name__ == "__main__":
    sys.exit(main())
