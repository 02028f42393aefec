"""Series in SQL on PostgreSQL keep their contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from tests.contracts.series import SeriesStoreContract
from tests.contracts.store import OpenStore
from tests.support.postgres import PostgresServer


@pytest.fixture
async def open_store(postgres: PostgresServer) -> AsyncIterator[OpenStore]:
    opened = PostgresStore(await postgres.new_database(), Settings())

    async def open_one() -> PostgresStore:
        await opened.open()
        return opened

    yield open_one
    await opened.close()


class TestSeries(SeriesStoreContract):
    pass
