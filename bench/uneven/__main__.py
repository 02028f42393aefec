"""Does a large organization delay small ones? 50 organizations of 10 units and 10 clients, beside one of 10,000 units.

First the small ones stream alone, then the large one sends all its units every second, too, to 20 clients. A delay is
the time from the flush tick to the arrival; the tick is where, within the second, the earliest batch of the quiet part
arrived. Target: the large organization delays the small ones by no more than 100 ms.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.fanout.feeder import feeding
from bench.load import Arrivals, connected
from bench.machine import describe
from bench.servers import CLIENT_CORE, Workload, free_port, launch, running

SECOND_US = 1_000_000
SETTLING_S = 3.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.uneven", description=__doc__)
    parser.add_argument("--units", type=int, default=10_000, help="units of the large organization")
    parser.add_argument("--clients", type=int, default=20, help="clients of the large organization")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each of the two parts")
    return parser.parse_args()


def take(chosen: argparse.Namespace) -> tuple[Arrivals, Arrivals, int]:
    """Run both parts; give the arrivals of the small and the large ones, and when the second part began."""
    small, large = Workload(50, 10, 10), Workload(1, chosen.clients, chosen.units)
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder_name:
        folder, port = Path(folder_name), free_port()
        # One server with an organization more than the small ones: the last of them is the large one.
        plan = launch("sensorcast", Workload(51, 10, 10), port=port, folder=folder, event_bytes=0)
        of_small = dataclasses.replace(plan, connect_payloads=plan.connect_payloads[:50])
        of_large = dataclasses.replace(plan, connect_payloads=plan.connect_payloads[50:])
        (folder / "large").mkdir()
        with (
            running(plan, port=port, folder=folder) as server,
            connected(small, of_small, port=port, folder=folder) as few,
            connected(large, of_large, port=port, folder=folder / "large") as many,
            feeding(server, small, plan.api_keys[:50]),
        ):
            time.sleep(SETTLING_S + chosen.seconds)
            second_part_us = time.time_ns() // 1_000
            with feeding(server, large, plan.api_keys[50:]):
                time.sleep(SETTLING_S + chosen.seconds)
            _, of_few = few.finish()
            _, of_many = many.finish()
            return of_few, of_many, second_part_us


def delays_ms(times_us: list[int], tick_us: int) -> list[float]:
    """How long after a tick each arrival was. Half a second early is taken for that, not for late."""
    shifted = ((at_us - tick_us + SECOND_US // 2) % SECOND_US - SECOND_US // 2 for at_us in times_us)
    return sorted(each / 1e3 for each in shifted)


def row(what: str, ordered: list[float]) -> str:
    last = len(ordered) - 1
    cells = "".join(f"{ordered[round(last * share)]:>8.1f} ms" for share in (0.5, 0.99, 1.0))
    return f"{what:<36}{len(ordered):>9,}{cells}"


def main() -> None:
    chosen = arguments()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", programs=("cc",)), flush=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    small, large, second_part_us = take(chosen)
    from_us = small.times_us[0] + int(SETTLING_S * SECOND_US)
    alone = [at_us for at_us in small.times_us if from_us <= at_us < second_part_us]
    beside = [at_us for at_us in small.times_us if at_us >= second_part_us + SETTLING_S * SECOND_US]
    phases = sorted(at_us % SECOND_US for at_us in alone)
    tick_us = phases[0]
    alone_ms, beside_ms = delays_ms(alone, tick_us), delays_ms(beside, tick_us)
    print(f"\n{'from tick to arrival':<36}{'batches':>9}{'p50':>11}{'p99':>11}{'max':>11}")
    print(row("small organizations, alone", alone_ms))
    print(row("small organizations, beside the large", beside_ms))
    print(row("the large organization", delays_ms(list(large.times_us), tick_us)))
    print(f"  the large one delays the small ones by at most {beside_ms[-1] - alone_ms[-1]:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
