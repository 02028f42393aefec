"""A run does as many operations as asked, in an order that the seed repeats, and compares times."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorcast.verify.run import Timing, verify
from tests.isolation.node import node


async def test_the_seed_decides_the_order(tmp_path: Path) -> None:
    done = []
    for number in (1, 2):
        async with node(tmp_path / str(number)) as (url, tenants):
            done.append((await verify([url], tenants, operations=30, seed=5)).operations)
    assert done[0] == done[1]
    assert done[0].total() == 30


async def test_organizations_units_and_histories_are_timed_at_each_node(tmp_path: Path) -> None:
    async with node(tmp_path) as (url, tenants):
        report = await verify([url, url], tenants, operations=1, seed=1)
    assert len(report.timings) == 2 * len({timing.surface for timing in report.timings}) == 8
    assert all(timing.foreign_s > 0 and timing.unknown_s > 0 for timing in report.timings)


@pytest.mark.parametrize(
    ("foreign_s", "unknown_s", "tells"),
    [(0.001, 0.001, False), (0.0019, 0.0001, False), (0.005, 0.001, True), (0.001, 0.005, True), (0.005, 0.004, False)],
)
def test_a_time_tells_something_when_it_is_long_and_far_from_the_other(
    foreign_s: float, unknown_s: float, tells: bool
) -> None:
    assert Timing("", foreign_s, unknown_s).tells_apart is tells
