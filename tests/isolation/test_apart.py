"""No value of one organization reaches another, whatever both do in whatever order."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorcast.verify.run import Report, verify
from tests.isolation.node import node


async def run(folder: Path, *, operations: int, seed: int) -> Report:
    async with node(folder) as (url, tenants):
        return await verify([url], tenants, operations=operations, seed=seed)


async def test_three_organizations_on_one_node_are_apart(tmp_path: Path) -> None:
    report = await run(tmp_path, operations=400, seed=1)
    assert report.leaks == []
    assert len(report.operations) == 13
    assert {"get:latest", "get:latest:all", "live", "units/{unit}/readings.csv"} <= report.seen.keys()


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_ten_thousand_operations_leak_nothing(tmp_path: Path) -> None:
    report = await run(tmp_path, operations=10_000, seed=2)
    print(report)
    assert report.leaks == []
