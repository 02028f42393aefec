"""Keys and revocations in SQLite keep the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.settings import Settings
from sensorcast.store import sqlite_credentials
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.credentials import CredentialContract, OpenCredentials, key


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
    return "sensorcast.store.sqlite_credentials.REVOCATIONS_MAX"


class TestSqlite(CredentialContract):
    """Each claim of the contract."""


async def test_the_keys_of_an_organization_are_bounded(
    open_store: OpenCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_credentials, "KEYS_MAX", 1)
    store = await open_store()
    await store.create_key(key("k1"))
    with pytest.raises(InvalidRequest, match="1 API keys"):
        await store.create_key(key("k2"))
    await store.create_key(key("k3", "globex"))
