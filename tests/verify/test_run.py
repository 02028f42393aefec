"""A run does as many operations as asked, in an order that the seed repeats."""

from __future__ import annotations

from pathlib import Path

from sensorcast.verify.run import verify
from tests.isolation.node import node


async def test_the_seed_decides_the_order(tmp_path: Path) -> None:
    done = []
    for number in (1, 2):
        async with node(tmp_path / str(number)) as (url, tenants):
            done.append((await verify(url, tenants, operations=30, seed=5)).operations)
    assert done[0] == done[1]
    assert done[0].total() == 30
