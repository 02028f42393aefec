"""Acknowledged means committed: kill -9 and SIGTERM against the real process, with a ledger of what was answered."""

from __future__ import annotations

import random

import pytest

from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.waiting import wait_until

NO_QUOTA = dict.fromkeys(
    (
        *("ingest_requests_per_s", "ingest_burst_requests", "organization_requests_per_s"),
        *("organization_requests_burst", "organization_readings_per_s", "organization_readings_burst"),
    ),
    1_000_000_000,
)


@pytest.fixture(params=["sqlite", "postgres"])
async def store_settings(request: pytest.FixtureRequest):
    """Settings of a server without quota, on each kind of store."""
    if request.param == "sqlite":
        return NO_QUOTA
    return NO_QUOTA | {"database_url": await request.getfixturevalue("postgres").new_database()}


def rounds_of_kill(server, count: int, seed: int) -> None:
    """Kill a loaded server `count` times, each time after some further requests were acknowledged."""
    organization, ledger, dice = server.organization(), Ledger(), random.Random(seed)
    for _ in range(count):
        enough = len(ledger.acknowledged) + dice.randrange(50, 500)
        with Gateways(organization, 4, ledger):
            wait_until(lambda: len(ledger.acknowledged) >= enough, within_s=30, what="acknowledged readings")  # noqa: B023
            server.kill()
        server.restart()
    assert_nothing_lost(server, organization, ledger)
    assert not ledger.refused


def test_kill_during_ingest_loses_nothing_acknowledged(start_server, store_settings):
    rounds_of_kill(start_server(**store_settings), 5, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_kills_during_ingest_lose_nothing_acknowledged(start_server, store_settings):
    rounds_of_kill(start_server(**store_settings), 50, seed=2)


def test_terminated_under_load_it_answers_and_exits_zero(start_server, store_settings):
    server = start_server(**store_settings)
    organization, ledger = server.organization(), Ledger()
    with Gateways(organization, 4, ledger):
        wait_until(lambda: len(ledger.acknowledged) >= 200, within_s=30, what="acknowledged readings")
        assert server.terminate() == 0
    server.restart()
    assert_nothing_lost(server, organization, ledger)
    assert set(ledger.refused) <= {503}
