"""The registry in SQLite keeps the contract, and knows what an older database held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import Unit
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.registry import SETTINGS, OpenRegistry, RegistryContract, ids, unit
from tests.readings import reading


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenRegistry]:
    stores: list[SqliteStore] = []

    async def open_one() -> SqliteStore:
        stores.append(SqliteStore(tmp_path / "readings.db", SETTINGS))
        await stores[-1].open()
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


class TestSqlite(RegistryContract):
    """Each claim of the contract."""


async def test_units_and_organizations_of_an_older_database_are_known(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    store = SqliteStore(path, Settings())
    await store.open()
    await store.append([reading("u1"), reading("u2"), reading("u1", org="globex")])
    await store.close()
    older = apsw.Connection(str(path))
    older.execute(
        "DROP TABLE registry; DROP TABLE registry_changes; DROP TABLE registry_counts; PRAGMA user_version = 3"
    )
    older.close()
    again = SqliteStore(path, Settings(registry_units_max=2))
    await again.open()
    assert ids(await again.list_organizations(after=None, limit=9)) == ["acme", "globex"]
    assert ids(await again.list_entries(Unit, "acme", after=None, limit=9)) == ["u1", "u2"]
    assert all(unit.created_at_us > 0 for unit in await again.list_entries(Unit, "globex", after=None, limit=9))
    with pytest.raises(InvalidRequest, match="registry_units_max"):
        await again.put_entry(unit("u3"))
    assert await again.put_entry(unit("u2", "globex"))
    await again.close()
