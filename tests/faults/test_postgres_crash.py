"""A PostgreSQL server that crashes under load, again and again, costs time and nothing else."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest

from tests.faults.test_kill import NO_QUOTA
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

BETWEEN_CRASHES_S = 3.0


def crashes(start_server, count: int) -> None:
    """Crash the database every three seconds under load; then compare the ledger."""
    with tempfile.TemporaryDirectory(prefix="sensorcast-postgres-") as folder:
        postgres = PostgresServer(Path(folder)).create()
        server = start_server(**NO_QUOTA, database_url=asyncio.run(postgres.new_database()))
        organization, ledger = server.organization(), Ledger()
        with Gateways(organization, 4, ledger):
            for _ in range(count):
                due_s = time.monotonic() + BETWEEN_CRASHES_S
                wait_until(lambda: time.monotonic() >= due_s, within_s=30, what="the next crash")  # noqa: B023
                postgres.restart("immediate")
                enough = len(ledger.acknowledged) + 50
                wait_until(lambda: len(ledger.acknowledged) >= enough, within_s=30, what="it goes on")  # noqa: B023
        assert_nothing_lost(server, organization, ledger)
        assert set(ledger.refused) <= {503}
        assert server.http.get("/readyz").status_code == 200
        server.terminate()
        postgres.stop("immediate")


def test_crashes_of_postgres_lose_nothing_acknowledged(start_server):
    crashes(start_server, 3)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_twenty_crashes_of_postgres_lose_nothing_acknowledged(start_server):
    crashes(start_server, 20)
