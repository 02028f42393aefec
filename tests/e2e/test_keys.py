"""API keys on a running server: what a request with one costs the database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import apsw
import asyncpg
import pytest

from tests.support.postgres import PostgresServer
from tests.support.server import ServerProcess, reading

ROUNDS = 6
REQUESTS_A_ROUND = 15
BACKGROUND = 2
"""In so many rounds something may be written that is not of a request: times of use once a minute, housekeeping."""

Version = Callable[[], object]
"""Gives something that is another whenever anything was committed in between."""


@contextlib.contextmanager
def version_of_sqlite(server: ServerProcess) -> Iterator[Version]:
    connection = apsw.Connection(str(server.data / "sensorcast.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        yield lambda: connection.pragma("data_version")
    finally:
        connection.close()


@contextlib.contextmanager
def version_of_postgres(url: str) -> Iterator[Version]:
    """The number of the next transaction that writes: those that only read take none."""
    with asyncio.Runner() as runner:

        async def ask() -> object:
            connection = await asyncpg.connect(url)
            try:
                return await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
            finally:
                await connection.close()

        yield lambda: runner.run(ask())


def changed_rounds(version: Version, request: Callable[[int], object]) -> int:
    """Count the rounds of requests in which anything was committed."""
    changed = 0
    for _ in range(ROUNDS):
        before = version()
        for number in range(REQUESTS_A_ROUND):
            request(number)
        changed += version() != before
    return changed


@pytest.fixture(params=["sqlite", "postgres"])
def served(
    request: pytest.FixtureRequest, start_server: Callable[..., ServerProcess]
) -> Iterator[tuple[ServerProcess, Version]]:
    if request.param == "sqlite":
        server = start_server()
        with version_of_sqlite(server) as version:
            yield server, version
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    url = asyncio.run(postgres.new_database())
    with version_of_postgres(url) as version:
        yield start_server(database_url=url), version


def test_a_request_with_a_key_writes_nothing(served: tuple[ServerProcess, Version]) -> None:
    server, version = served
    acme = server.organization("acme")
    owner = {"Authorization": f"Bearer {acme.token(role='owner')}"}
    made = server.http.post("/api/orgs/acme/keys", json={"scopes": ["read", "ingest"]}, headers=owner).json()
    key = {"X-API-Key": made["text"]}

    def read(_: int) -> None:
        assert server.http.get("/api/orgs/acme/units", headers=key).status_code == 200

    def fail_to_send(_: int) -> None:
        answer = server.http.post("/api/ingest/readings", json={"readings": [{}]}, headers=key)
        assert (answer.status_code, answer.json()["insertedCount"]) == (200, 0)

    read(0)
    assert changed_rounds(version, read) <= BACKGROUND
    assert changed_rounds(version, fail_to_send) <= BACKGROUND
    before = version()
    acme.post(reading()).raise_for_status()
    assert version() != before  # or nothing would be noticed at all
