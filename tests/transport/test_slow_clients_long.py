"""Many clients of which some stop reading: memory bounded, the others served as before. Takes a minute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sensorcast.loadtest.run import LoadTest, Plan
from sensorcast.loadtest.tally import Report
from tests.support.server import Organization, ServerProcess
from tests.support.slow_client import SlowClient
from tests.transport.test_slow_clients import PATIENT, Feed, metric

READING, STALLED = 200, 20
MEMORY_MAX_BYTES = 64 * 2**20


def rss_bytes(server: ServerProcess) -> int:
    assert server.process is not None
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def served(organization: Organization, run_id: str) -> Report:
    """Let many clients read for a while."""
    plan = Plan(
        url=organization.server.url, key=organization.key, token=organization.viewer_token, run_id=run_id,
        clients=READING, units=20, rate=40.0, duration_s=15.0,
    )  # fmt: skip
    return asyncio.run(LoadTest(plan, clock_s=time.time, on_progress=lambda line: None).run())


@pytest.mark.long
def test_clients_that_stop_reading_cost_bounded_memory_and_harm_nobody(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(**PATIENT | {"flush_interval_ms": 200, "outbound_total_max_bytes": 32 * 2**20})
    organization = server.organization()
    alone, rss_before_bytes = served(organization, "alone"), rss_bytes(server)
    with contextlib.ExitStack() as stack:
        for _ in range(STALLED):
            stack.callback(SlowClient(organization).close)
        feed = Feed(organization)
        feed.send_until(lambda: metric(server, "sensorcast_connections_slow") == STALLED, "all of them are slow")
        beside = served(organization, "beside")
    assert (alone.lost, alone.duplicates, beside.lost, beside.duplicates) == (0, 0, 0, 0)
    assert metric(server, "sensorcast_batches_conflated_total") > 0
    assert rss_bytes(server) - rss_before_bytes < MEMORY_MAX_BYTES
    assert beside.p99_ms < alone.p99_ms * 1.1 + 50
