"""Run every suite, or those named: `python -m bench [micro.flush] [fanout] ...`.

Each suite is a program of its own (`python -m bench.fanout --help`) and prints the machine it ran on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from bench.servers import ROOT

SUITES = (
    "micro.flush",
    "micro.publish",
    "micro.registry",
    "connections",
    "fanout",
    "uneven",
    "slow",
    "herd",
    "growth",
    "ingest",
    "ingest.pauses",
    "history",
    "bus",
    "workers",
    "capacity",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="suite", help="one of: " + ", ".join(SUITES))
    for suite in parser.parse_args().suites or SUITES:
        print(f"== {suite}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{suite}"], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
