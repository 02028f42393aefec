"""The registry keeps the contract in both databases, and knows what an older database held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import Organization, Unit
from sensorcast.settings import Settings
from sensorcast.store import Store
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.postgres_statements import PostgresStatements
from sensorcast.store.registry import know_organization
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.registry import SETTINGS, OpenRegistry, RegistryContract, ids, organization, unit
from tests.readings import T0_US, reading
from tests.support.postgres import PostgresServer
from tests.support.stores import opener

TWO_UNITS = Settings(registry_units_max=2)


async def fill(store: Store) -> None:
    await store.open()
    await store.append([reading("u1"), reading("u2"), reading("u1", org="globex")])
    await store.close()


async def check_filled(store: Store) -> None:
    """See that units and organizations with readings are known; the store has `TWO_UNITS`."""
    await store.open()
    assert ids(await store.list_organizations(after=None, limit=9)) == ["acme", "globex"]
    assert ids(await store.list_entries(Unit, "acme", after=None, limit=9)) == ["u1", "u2"]
    assert all(unit.created_at_us > 0 for unit in await store.list_entries(Unit, "globex", after=None, limit=9))
    with pytest.raises(InvalidRequest, match="registry_units_max"):
        await store.put_entry(unit("u3"))
    assert await store.put_entry(unit("u2", "globex"))
    await store.close()


class TestSqlite(RegistryContract):
    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> AsyncIterator[OpenRegistry]:
        async with opener(lambda: SqliteStore(tmp_path / "readings.db", SETTINGS)) as open_one:
            yield open_one

    async def test_units_and_organizations_of_an_older_database_are_known(self, tmp_path: Path) -> None:
        path = tmp_path / "readings.db"
        await fill(SqliteStore(path, Settings()))
        older = apsw.Connection(str(path))
        for table in ("registry", "registry_changes", "registry_counts", "senders"):
            older.execute(f"DROP TABLE {table}")
        older.pragma("user_version", 3)
        older.close()
        await check_filled(SqliteStore(path, TWO_UNITS))


class TestPostgres(RegistryContract):
    @pytest.fixture
    async def open_store(self, postgres: PostgresServer) -> AsyncIterator[OpenRegistry]:
        url = await postgres.new_database()
        async with opener(lambda: PostgresStore(url, SETTINGS)) as open_one:
            yield open_one

    async def test_units_and_organizations_of_an_older_database_are_known(self, postgres: PostgresServer) -> None:
        url = await postgres.new_database()
        await fill(PostgresStore(url, Settings()))
        older = await asyncpg.connect(url)
        await older.execute(
            "DROP TABLE registry, registry_changes, registry_counts, senders; UPDATE schema_version SET version = 3"
        )
        await older.close()
        await check_filled(PostgresStore(url, TWO_UNITS))

    async def test_a_name_put_while_another_server_makes_the_organization_known_is_kept(
        self, open_store: OpenRegistry
    ) -> None:
        store, other = await open_store(), await open_store()
        assert isinstance(other, PostgresStore)
        known, putting = asyncio.Event(), asyncio.Event()

        async def make_known(connection: Any) -> None:
            await know_organization(PostgresStatements(connection), "acme", T0_US)
            known.set()
            await putting.wait()
            await asyncio.sleep(0.2)

        making = asyncio.create_task(other.change(make_known))
        await known.wait()
        named = asyncio.create_task(store.put_entry(organization(name="Acme")))
        putting.set()
        await asyncio.gather(making, named)
        assert await store.find_entry(Organization, "acme", "acme") == organization(name="Acme")
