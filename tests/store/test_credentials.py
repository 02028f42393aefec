"""API keys and revocations keep the contract in both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import asyncpg
import pytest

from sensorcast.settings import Settings
from sensorcast.store import credentials
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.credentials import CredentialContract, OpenCredentials
from tests.support.postgres import PostgresServer
from tests.support.stores import opener


@pytest.fixture
def revocations_max() -> str:
    return "sensorcast.store.credential_rows.REVOCATIONS_MAX"


class TestSqlite(CredentialContract):
    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[OpenCredentials]:
        async with opener(lambda: SqliteStore(tmp_path / "readings.db", Settings())) as open_one:
            yield open_one

    async def test_a_key_is_found_without_looking_at_others(self, open_store: OpenCredentials, tmp_path: Path) -> None:
        await open_store()
        connection = apsw.Connection(str(tmp_path / "readings.db"), flags=apsw.SQLITE_OPEN_READONLY)
        [(*_, plan)] = connection.execute(f"EXPLAIN QUERY PLAN {credentials._FIND_KEY}", ("k1",))
        connection.close()
        assert plan.startswith("SEARCH api_keys USING")
        assert plan.endswith("(key_id=?)")


class TestPostgres(CredentialContract):
    @pytest.fixture
    async def url(self, postgres: PostgresServer) -> str:
        return await postgres.new_database()

    @pytest.fixture
    async def open_store(self, url: str) -> AsyncIterator[OpenCredentials]:
        async with opener(lambda: PostgresStore(url, Settings())) as open_one:
            yield open_one

    async def test_a_key_id_that_no_database_text_can_be_is_unknown(self, open_store: OpenCredentials) -> None:
        store = await open_store()
        assert await store.find_key("a\0b") is None
        assert not await store.revoke_key("acme", "a\0b", now_us=1)

    async def test_a_key_is_found_without_looking_at_others(self, open_store: OpenCredentials, url: str) -> None:
        await open_store()
        connection = await asyncpg.connect(url)
        await connection.execute("SET enable_seqscan = off")  # the planner's choice for a table that is nearly empty
        plan = await connection.fetch(f"EXPLAIN {credentials._FIND_KEY}", "k1")
        await connection.close()
        assert plan[0][0].startswith("Index Scan using api_keys_pkey")
        assert "Index Cond: (key_id = " in plan[1][0]
