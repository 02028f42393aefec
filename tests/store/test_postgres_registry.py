"""The registry in PostgreSQL keeps the contract, and knows what an older database held."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sensorcast.model import Unit
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from tests.contracts.registry import SETTINGS, OpenRegistry, RegistryContract, ids
from tests.readings import reading
from tests.support.postgres import PostgresServer


@pytest.fixture
async def open_store(postgres: PostgresServer) -> AsyncIterator[OpenRegistry]:
    url = await postgres.new_database()
    opened: list[PostgresStore] = []

    async def open_one() -> PostgresStore:
        store = PostgresStore(url, SETTINGS)
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


class TestPostgres(RegistryContract):
    """Each claim of the contract."""


async def test_units_and_organizations_of_an_older_database_are_known(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    store = PostgresStore(url, Settings())
    await store.open()
    await store.append([reading("u1"), reading("u2"), reading("u1", org="globex")])
    await store.close()
    older = await asyncpg.connect(url)
    await older.execute("DROP TABLE registry; DROP TABLE registry_changes; UPDATE schema_version SET version = 3")
    await older.close()
    again = PostgresStore(url, Settings())
    await again.open()
    assert ids(await again.list_organizations(after=None, limit=9)) == ["acme", "globex"]
    assert ids(await again.list_entries(Unit, "acme", after=None, limit=9)) == ["u1", "u2"]
    assert all(unit.created_at_us > 0 for unit in await again.list_entries(Unit, "globex", after=None, limit=9))
    await again.close()
