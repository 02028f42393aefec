"""Keys and revocations in SQLite keep the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from sensorcast.settings import Settings
from sensorcast.store import sqlite_credentials
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.credentials import CredentialContract, OpenCredentials


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenCredentials]:
    stores: list[SqliteStore] = []

    async def open_one() -> SqliteStore:
        stores.append(SqliteStore(tmp_path / "readings.db", Settings()))
        await stores[-1].open()
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
def revocations_max() -> str:
    return "sensorcast.store.credential_rows.REVOCATIONS_MAX"


class TestSqlite(CredentialContract):
    """Each claim of the contract."""


async def test_a_key_is_found_without_looking_at_others(open_store: OpenCredentials, tmp_path: Path) -> None:
    await open_store()
    connection = apsw.Connection(str(tmp_path / "readings.db"), flags=apsw.SQLITE_OPEN_READONLY)
    [(*_, plan)] = connection.execute(f"EXPLAIN QUERY PLAN {sqlite_credentials._FIND_KEY}", ("k1",))
    connection.close()
    assert plan.startswith("SEARCH api_keys USING")
    assert plan.endswith("(key_id=?)")
