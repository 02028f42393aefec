"""The registry in PostgreSQL keeps the contract, and knows what an older database held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import Organization, Unit
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.postgres_registry import know_organization
from tests.contracts.registry import SETTINGS, OpenRegistry, RegistryContract, ids, organization, unit
from tests.readings import T0_US, reading
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
    await older.execute("DROP TABLE registry, registry_changes, registry_counts; UPDATE schema_version SET version = 3")
    await older.close()
    again = PostgresStore(url, Settings(registry_units_max=2))
    await again.open()
    assert ids(await again.list_organizations(after=None, limit=9)) == ["acme", "globex"]
    assert ids(await again.list_entries(Unit, "acme", after=None, limit=9)) == ["u1", "u2"]
    assert all(unit.created_at_us > 0 for unit in await again.list_entries(Unit, "globex", after=None, limit=9))
    with pytest.raises(InvalidRequest, match="registry_units_max"):
        await again.put_entry(unit("u3"))
    assert await again.put_entry(unit("u2", "globex"))
    await again.close()


async def test_a_name_put_while_another_server_makes_the_organization_known_is_kept(
    postgres: PostgresServer, open_store: OpenRegistry
) -> None:
    store, other = await open_store(), await open_store()
    assert isinstance(other, PostgresStore)
    known, putting = asyncio.Event(), asyncio.Event()

    async def make_known(connection: Any) -> None:
        await know_organization(connection, "acme", T0_US)
        known.set()
        await putting.wait()
        await asyncio.sleep(0.2)

    making = asyncio.create_task(other.change(make_known))
    await known.wait()
    named = asyncio.create_task(store.put_entry(organization(name="Acme")))
    putting.set()
    await asyncio.gather(making, named)
    assert await store.find_entry(Organization, "acme", "acme") == organization(name="Acme")
