"""Does the cost grow with the load, and no faster? Clients, units and organizations, each in steps, the others fixed.

The same measurement as `bench.fanout`, of sensorcast alone; draws processor time a second over events a second into
`docs/images/growth.svg`. Linear growth is a straight line; where fixed costs are shared by more, it lies below one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.fanout.measure import Result, measure
from bench.machine import describe
from bench.servers import CLIENT_CORE, ROOT, Workload

CURVES: dict[str, tuple[Workload, ...]] = {
    "clients (20 units)": tuple(Workload(1, clients, 20) for clients in (250, 500, 1_000, 2_000, 4_000)),
    "units (1,000 clients)": tuple(Workload(1, 1_000, units) for units in (5, 10, 20, 40, 80)),
    "organizations (40 clients, 20 units each)": tuple(Workload(count, 40, 20) for count in (6, 12, 25, 50, 100)),
}
COLOURS = ("#0b6e99", "#b5541c", "#4d7c2a")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 420, 70, 60, 30, 20

Point = tuple[float, float]
"""Events a second, and milliseconds of processor time a second."""


def point(result: Result) -> Point:
    return result.events_per_s, result.cpu_us_per_event * result.events_per_s / 1e3


def ceiling(value: float) -> float:
    """The next round number for the end of an axis."""
    step = 10 ** (len(str(int(value))) - 1)
    return (value // step + 1) * step


def drawing(curves: dict[str, Sequence[Point]]) -> str:
    """The plot as SVG: readable on light and on dark pages."""
    x_max = ceiling(max(x for points in curves.values() for x, _ in points))
    y_max = ceiling(max(y for points in curves.values() for _, y in points))

    def place(x: float, y: float) -> Point:
        across = LEFT + x / x_max * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - y / y_max * (HEIGHT - BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        (x, bottom), (left, y) = place(x_max * share, 0), place(0, y_max * share)
        parts += [
            f'<path d="M{left:.1f} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>',
            f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{y_max * share:,.0f}</text>',
            f'<text x="{x:.1f}" y="{bottom + 20:.1f}" text-anchor="middle">{x_max * share:,.0f}</text>',
        ]
    for row, (name, points) in enumerate(curves.items()):
        colour = COLOURS[row % len(COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*each) for each in points))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (place(*p) for p in points)]
        parts.append(f'<text x="{LEFT + 14}" y="{TOP + 18 + 18 * row}" fill="{colour}">more {name}</text>')
    parts += [
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 14}" text-anchor="middle">events delivered a second</text>',
        f'<text x="{LEFT - 60}" y="{TOP - 12}">milliseconds of processor time a second</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each measured window")
    parser.add_argument("--steps", type=int, default=5, help="only the first so many steps of each curve")
    parser.add_argument("--svg", type=Path, default=ROOT / "docs" / "images" / "growth.svg")
    chosen = parser.parse_args()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", programs=("cc",)), flush=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    curves: dict[str, list[Point]] = {}
    for name, workloads in CURVES.items():
        print(f"\nmore {name}")
        for workload in workloads[: chosen.steps]:
            result = measure("sensorcast", workload, seconds=chosen.seconds, event_bytes=0)
            curves.setdefault(name, []).append(point(result))
            print(
                f"  {workload!s:<48}{result.events_per_s:>10,.0f} events/s{result.cpu_us_per_event:>8.2f} us/event"
                f"{result.delivery_ms['p99']:>7.0f} ms p99{result.rss_kib_streaming:>7.1f} KiB/connection",
                flush=True,
            )
    chosen.svg.write_text(drawing(curves), encoding="utf-8")
    print(f"\nwritten: {chosen.svg}")


if __name__ == "__main__":
    sys.exit(main())
