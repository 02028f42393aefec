"""What does it cost to deliver one batch to one client? sensorcast, a floor in C, Node Socket.IO, python-socketio.

Each server runs on one core, all clients on another; sensorcast as a whole product, its readings arriving over HTTP and
being stored, the others with nothing but their emits. Targets at 500 clients x 20 units: at most 1/15 of Node's
processor time per delivered event, 1/60 of python-socketio's, 1.5 times the floor's. Times are from flush to arrival.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from bench.fanout.measure import Result, measure
from bench.machine import describe
from bench.servers import CLIENT_CORE, CORES, NAMES, Workload, install_peers

WORKLOADS = (
    Workload(organizations=1, clients=500, units=20),
    Workload(organizations=1, clients=5_000, units=1),
    Workload(organizations=1, clients=5_000, units=20),
    Workload(organizations=50, clients=100, units=40),
)
FLOOR_EVENT_BYTES = 340
"""Size of the floor's events when sensorcast was not measured before it, whose size is taken otherwise."""


def workload(text: str) -> Workload:
    """Read `CLIENTSxUNITS` or `ORGANIZATIONSxCLIENTSxUNITS`."""
    numbers = [int(part) for part in text.lower().split("x")]
    return Workload(*numbers) if len(numbers) == 3 else Workload(1, *numbers)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description=__doc__)
    parser.add_argument("--workloads", nargs="+", type=workload, default=WORKLOADS, metavar="[ORGSx]CLIENTSxUNITS")
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the measured window")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def table(results: list[Result]) -> str:
    """One line a server, then the ratios to sensorcast."""
    head = (
        f"{'server':<16}{'CPU/event':>11}{'events/s':>11}{'offered':>10}{'p50':>9}{'p99':>9}{'max':>9}"
        f"{'RSS/conn':>10}{'streaming':>11}{'connects/s':>12}{'CPU/connect':>13}{'bytes':>7}"
    )
    return "\n".join([head, *map(_row, results), *_ratios(results)])


def _row(one: Result) -> str:
    delays = "".join(f"{one.delivery_ms[name]:>6.0f} ms" for name in ("p50", "p99", "max"))
    trouble = f"  ({one.lost_connections} connections lost, {one.out_of_order} events out of order)"
    return (
        f"{one.server:<16}{one.cpu_us_per_event:>8.2f} us{one.events_per_s:>11,.0f}{one.offered_events_per_s:>10,}"
        f"{delays}{one.rss_kib_resting:>6.1f} KiB{one.rss_kib_streaming:>7.1f} KiB{one.connects_per_s:>12,.0f}"
        f"{one.cpu_us_per_connect:>10.0f} us{one.bytes_per_event:>7.0f}"
        f"{trouble if one.lost_connections or one.out_of_order else ''}"
    )


def _ratios(results: list[Result]) -> list[str]:
    ours = next((one for one in results if one.server == "sensorcast"), None)
    if ours is None:
        return []
    return [
        f"  {one.server}: {one.cpu_us_per_event / ours.cpu_us_per_event:.2f} times sensorcast's CPU per event, "
        f"{one.rss_kib_resting / ours.rss_kib_resting:.2f} times its memory, "
        f"{one.connects_per_s / ours.connects_per_s:.2f} times its connects/s"
        for one in results
        if one is not ours
    ]


def main() -> None:
    chosen = arguments()
    install_peers()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", "python-socketio", programs=("node", "cc")), flush=True)
    if len(CORES) < 2:
        print("warning: only one core, so server and clients disturb each other")
    os.sched_setaffinity(0, {CLIENT_CORE})
    everything: list[Result] = []
    for each in chosen.workloads:
        results: list[Result] = []
        for name in chosen.servers:
            measured = [one.bytes_per_event for one in results if one.server == "sensorcast"]
            event_bytes = round(measured[0]) if measured else FLOOR_EVENT_BYTES
            results.append(measure(name, each, seconds=chosen.seconds, event_bytes=event_bytes))
        print(f"\n{each}: {each.events_per_flush:,} events a second\n{table(results)}", flush=True)
        everything += results
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(everything)))


if __name__ == "__main__":
    sys.exit(main())
