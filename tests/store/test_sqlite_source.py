"""A database read from end to end, with nobody writing to it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import apsw
import pytest

from sensorcast.errors import ConfigurationError, Unavailable
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from sensorcast.store.sqlite_source import START, SqliteSource
from tests.readings import reading, series


async def test_pages_give_every_reading_once_in_one_order(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    await store.open()
    stored = [*series(10), *series(10, "u2"), *(reading(device_id=f"d{n}", org="other") for n in range(5))]
    await store.append(stored)
    await store.close()
    source = SqliteSource(tmp_path / "readings.db", 100)
    place, seen = START, []
    while (page := source.page(place, 4))[1]:
        place = page[0]
        seen += page[1]
    assert seen == stored
    assert source.count() == 25
    source.close()


async def test_nobody_else_writes_while_it_is_open(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "readings.db", Settings(store_busy_timeout_ms=10))
    await store.open()
    source = SqliteSource(tmp_path / "readings.db", 100)
    with pytest.raises(Unavailable, match="locked"):
        await store.append([reading()])
    source.close()
    await store.close()


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no database"):
        SqliteSource(tmp_path / "readings.db", 100)
    assert list(tmp_path.iterdir()) == []


async def test_it_can_be_closed_while_a_thread_still_reads(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    await store.open()
    await store.append(series(2_000))
    await store.close()
    for _ in range(20):
        source = SqliteSource(tmp_path / "readings.db", 100)
        reader = threading.Thread(target=read_until_closed, args=(source,))
        reader.start()
        await asyncio.sleep(0.005)
        source.close()
        reader.join()


def read_until_closed(source: SqliteSource) -> None:
    with contextlib.suppress(apsw.ConnectionClosedError):
        for _ in range(100):
            source.page(START, 2_000)
