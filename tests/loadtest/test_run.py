"""A whole load test against a real server, with small numbers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from sensorcast.errors import Unavailable
from sensorcast.loadtest.run import LoadTest, Plan
from sensorcast.loadtest.tally import Report
from tests.support.server import Organization


def plan(organization: Organization, **changes: Any) -> Plan:
    values = {"clients": 5, "units": 4, "rate": 40.0, "duration_s": 1.5, "run_id": "t1"} | changes
    return Plan(url=organization.server.url, key=organization.key, token=organization.viewer_token, **values)


def run(of: Plan, lines: list[str]) -> Report:
    return asyncio.run(LoadTest(of, clock_s=time.time, on_progress=lines.append).run())


@pytest.mark.real_time
def test_a_healthy_server_delivers_everything_once_and_is_measured(organization: Organization) -> None:
    lines: list[str] = []
    report = run(plan(organization), lines)
    assert (report.clients, report.lost_connections) == (5, 0)
    assert 40 <= report.accepted == report.sent <= 80
    assert report.delivered == report.expected == 5 * report.accepted
    assert (report.lost, report.duplicates) == (0, 0)
    assert 0 < report.p50_ms <= report.p90_ms <= report.p99_ms <= report.max_ms < 5_000
    assert report.server_cpu is not None
    assert lines[0].startswith("clients 5/5 (lost 0)  sent ")


def test_a_token_that_does_not_hold_ends_the_test(organization: Organization) -> None:
    bad = msgspec.structs.replace(plan(organization), token="none")
    with pytest.raises(Unavailable, match="not every client could connect"):
        run(bad, [])


def test_a_key_that_does_not_hold_is_said_and_nothing_is_expected(organization: Organization) -> None:
    lines: list[str] = []
    bad = msgspec.structs.replace(plan(organization), key="none")
    report = run(bad, lines)
    assert report.accepted == report.expected == report.lost == 0
    assert report.sent > 0
    assert "401" in lines[-1]
