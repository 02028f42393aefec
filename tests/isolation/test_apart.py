"""No value of one organization reaches another, whatever both do in whatever order, at one node or at several."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorcast.verify.run import Report, verify
from tests.isolation.conftest import RunNodes


async def run(run_nodes: RunNodes, folder: Path, *, operations: int, seed: int) -> Report:
    async with run_nodes(folder) as (urls, tenants):
        return await verify(urls, tenants, operations=operations, seed=seed)


async def test_three_organizations_are_apart(run_nodes: RunNodes, tmp_path: Path) -> None:
    report = await run(run_nodes, tmp_path, operations=400, seed=1)
    assert report.leaks == []
    assert len(report.operations) == 18
    assert {"get:latest", "get:latest:all", "live", "units/{unit}/readings.csv", "registry"} <= report.seen.keys()


@pytest.mark.long
@pytest.mark.timeout(1_200)
async def test_ten_thousand_operations_leak_nothing(run_nodes: RunNodes, tmp_path: Path) -> None:
    report = await run(run_nodes, tmp_path, operations=10_000, seed=2)
    print(report)
    assert report.leaks == []
