"""Series in SQL on SQLite keep their contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.series import SeriesStoreContract
from tests.contracts.store import OpenStore


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    opened = SqliteStore(tmp_path / "readings.db", Settings())

    async def open_one() -> SqliteStore:
        await opened.open()
        return opened

    yield open_one
    await opened.close()


class TestSeries(SeriesStoreContract):
    pass
