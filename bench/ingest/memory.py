"""Whether memory stays flat while readings come in all the time: `python -m bench.ingest.memory`.

The second half is judged: in the first, caches fill up to what they keep, above all SQLite's 64 MiB of pages.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench.ingest.__main__ import product
from bench.ingest.client import send_at
from bench.ingest.workload import bodies
from bench.machine import describe
from bench.servers import CLIENT_CORE

READINGS = 100
STEP_S = 30


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--requests-per-s", type=int, default=50, help=f"requests of {READINGS} readings each")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    os.sched_setaffinity(0, {CLIENT_CORE})
    print(describe("sensorcast", "apsw", "uvloop"))
    rate = chosen.requests_per_s
    sizes_mib: list[float] = []
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder, product(Path(folder)) as (server, key):
        print(f"{'minute':>8} {'readings':>12} {'resident':>12}")
        for step in range(int(chosen.minutes * 60 / STEP_S)):
            sent = bodies(rate * STEP_S, READINGS, apart_us=1_000_000 // (rate * READINGS))
            answers = send_at(server.port, key, sent, requests_per_s=rate, connections=16)
            assert set(answers.statuses) <= {200, 503}, answers.statuses
            sizes_mib.append(server.rss_bytes() / 2**20)
            total = (step + 1) * rate * STEP_S * READINGS
            print(f"{(step + 1) * STEP_S / 60:>8.1f} {total:>12,} {sizes_mib[-1]:>8.1f} MiB", flush=True)
    settled = sizes_mib[len(sizes_mib) // 2 :]
    print(
        f"after the first minute {min(settled):.1f} to {max(settled):.1f} MiB, growth {settled[-1] - settled[0]:+.1f}"
    )


if __name__ == "__main__":
    main()
