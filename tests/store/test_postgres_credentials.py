"""API keys and revocations in PostgreSQL keep their contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sensorcast.settings import Settings
from sensorcast.store import postgres_credentials
from sensorcast.store.postgres import PostgresStore
from tests.contracts.credentials import CredentialContract, OpenCredentials
from tests.support.postgres import PostgresServer


@pytest.fixture
async def url(postgres: PostgresServer) -> str:
    return await postgres.new_database()


@pytest.fixture
async def open_store(url: str) -> AsyncIterator[OpenCredentials]:
    opened: list[PostgresStore] = []

    async def open_one() -> PostgresStore:
        store = PostgresStore(url, Settings())
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def revocations_max() -> str:
    return "sensorcast.store.credential_rows.REVOCATIONS_MAX"


class TestCredentials(CredentialContract):
    pass


async def test_a_key_id_that_no_database_text_can_be_is_unknown(open_store: OpenCredentials) -> None:
    store = await open_store()
    assert await store.find_key("a\0b") is None
    assert not await store.revoke_key("acme", "a\0b", now_us=1)


async def test_a_key_is_found_without_looking_at_others(open_store: OpenCredentials, url: str) -> None:
    await open_store()
    connection = await asyncpg.connect(url)
    await connection.execute("SET enable_seqscan = off")  # the planner's choice for a table that is nearly empty
    plan = await connection.fetch(f"EXPLAIN {postgres_credentials._FIND_KEY}", "k1")
    await connection.close()
    assert plan[0][0].startswith("Index Scan using api_keys_pkey")
    assert "Index Cond: (key_id = " in plan[1][0]
