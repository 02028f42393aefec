"""Do two workers deliver more than one? The load client needs a core as well, so it is separated in two ways.

`apart`: all workers share the first core, the clients have the second, and the load is such that the first is not full.
Nothing disturbs anybody, and each worker's processor time for the events of its own connections says what it could
deliver with a core to itself; capacity is the sum. `pressed`: more is offered than can be delivered, each worker has a
core, and the clients take their time from the last one: what arrives is what two cores do, clients included.
Readings come in over HTTP at either worker, are stored, and reach the other worker's clients over the bus.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from bench.fanout.__main__ import workload
from bench.machine import describe
from bench.servers import CORES, Workload
from bench.workers.measure import Result, measure

LOAD = Workload(organizations=10, clients=400, units=2)
"""Few units, so that what a delivery costs is its system call, which nothing shares."""
APART_FLUSHES_PER_S = 5
PRESSED_FLUSHES_PER_S = 25


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--load", type=workload, default=LOAD, metavar="[ORGSx]CLIENTSxUNITS")
    parser.add_argument("--apart", type=int, default=APART_FLUSHES_PER_S, metavar="FLUSHES_PER_S")
    parser.add_argument("--pressed", type=int, default=PRESSED_FLUSHES_PER_S, metavar="FLUSHES_PER_S")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the measured window")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def table(results: list[Result], offered_per_s: int) -> str:
    """One line for each number of workers, with what it is compared to the first."""
    lines = [
        f"{'workers':<9}{'events/s':>11}{'offered':>11}{'capacity':>12}{'vs first':>10}"
        "  each: CPU/event x connections, CPU/reading"
    ]
    for one in results:
        parts = zip(one.cpu_us_per_event, one.connections, one.cpu_us_per_reading, strict=True)
        each = "; ".join(f"{event_us:.2f} us x {own}, {reading_us:,.0f} us" for event_us, own, reading_us in parts)
        ratio = one.capacity_events_per_s / results[0].capacity_events_per_s
        lost = f"  ({one.lost_connections} connections lost)" if one.lost_connections else ""
        lines.append(
            f"{one.workers:<9}{one.events_per_s:>11,.0f}{offered_per_s:>11,}{one.capacity_events_per_s:>12,.0f}"
            f"{ratio:>10.2f}  {each}{lost}"
        )
    return "\n".join(lines)


def main() -> None:
    chosen = arguments()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", programs=("cc",)), flush=True)
    if len(CORES) < 2:
        print("warning: only one core, so server and clients disturb each other")
    everything = {}
    for name, flushes_per_s, spread in (("apart", chosen.apart, False), ("pressed", chosen.pressed, True)):
        results = [
            measure(count, chosen.load, flushes_per_s=flushes_per_s, seconds=chosen.seconds, spread=spread)
            for count in chosen.workers
        ]
        offered_per_s = chosen.load.events_per_flush * flushes_per_s
        print(f"\n{name}: {chosen.load}, {flushes_per_s} flushes a second\n{table(results, offered_per_s)}", flush=True)
        if spread:
            delivered = (one.events_per_s / results[0].events_per_s for one in results)
            print("  delivered, vs first: " + ", ".join(f"{ratio:.2f}" for ratio in delivered))
        everything[name] = results
    if chosen.json:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(everything)))


if __name__ == "__main__":
    sys.exit(main())
