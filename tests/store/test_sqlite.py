"""The SQLite store keeps the contract, and what is particular to it: readers, and another process on the same file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensorcast.errors import ConfigurationError, Unavailable
from sensorcast.model import Reading
from sensorcast.settings import Settings
from sensorcast.store.sqlite import _HISTORY, SqliteStore
from tests.contracts.store import ANY_READING, KeyStoreContract, Model, OpenStore, ReadingStoreContract, history
from tests.readings import reading, series
from tests.support.damage import damage


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    opened: list[SqliteStore] = []

    async def open_one() -> SqliteStore:
        store = SqliteStore(tmp_path / "data" / "readings.db", Settings(store_busy_timeout_ms=100))
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


class TestReadings(ReadingStoreContract):
    pass


class TestKeys(KeyStoreContract):
    pass


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(ANY_READING, max_size=8), max_size=6))
async def test_the_store_agrees_with_the_simplest_model(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[Reading]]
) -> None:
    store, model = SqliteStore(tmp_path_factory.mktemp("model") / "readings.db", Settings()), Model()
    await store.open()
    try:
        for call in calls:
            assert await store.append(call) == [model.append(item) for item in call]
        for unit_id in ("u1", "u2"):
            kept = [item for item in model.by_key.values() if item.unit_id == unit_id]
            kept.sort(key=lambda item: (item.recorded_at_us, item.device_id or ""), reverse=True)
            assert await history(store, unit_id) == kept
    finally:
        await store.close()


async def test_a_page_is_sought_where_it_begins_and_not_from_the_newest_reading_on(
    open_store: OpenStore, tmp_path: Path
) -> None:
    await open_store()
    names = ("organization_id", "unit_id", "start_us", "behind_us", "behind_device", "limit")
    with apsw.Connection(str(tmp_path / "data" / "readings.db")) as connection:
        plan = list(connection.execute(f"EXPLAIN QUERY PLAN {_HISTORY}", dict.fromkeys(names, 0)))
    assert "AND (recorded_at_us,device_id)<(?,?))" in str(plan)


async def test_many_queries_run_beside_writes(open_store: OpenStore) -> None:
    store = await open_store()
    await store.append(series(100))
    results = await asyncio.gather(
        *(history(store) for _ in range(50)), *(store.append(series(20, f"unit-{n}")) for n in range(20))
    )
    assert all(len(found) == 100 for found in results[:50])


async def test_too_many_waiting_queries_are_refused(open_store: OpenStore) -> None:
    store = await open_store()
    results = await asyncio.gather(*(history(store) for _ in range(600)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) == 600 - 512
    assert refused[0].retry_after_s == 1


async def test_a_file_that_is_no_database_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    path.write_bytes(b"these are not the pages you are looking for" * 100)
    with pytest.raises(ConfigurationError, match=r"readings\.db is not a sound SQLite database"):
        await SqliteStore(path, Settings()).open()


async def test_a_folder_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await SqliteStore(tmp_path / "file" / "readings.db", Settings()).open()


async def test_a_store_that_was_never_opened_is_unavailable(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    with pytest.raises(Unavailable):
        await store.append([reading()])
    await store.close()


async def test_trouble_ends_by_itself_when_nothing_is_sent(open_store: OpenStore, tmp_path: Path) -> None:
    store = await open_store()
    other = apsw.Connection(str(tmp_path / "data" / "readings.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await store.append([reading()])
    assert await store.trouble() == "the database is locked by another process"
    other.execute("ROLLBACK")
    other.close()
    deadline_s = time.monotonic() + 30
    while await store.trouble() is not None:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


async def test_queries_work_while_another_process_holds_the_write_lock(open_store: OpenStore, tmp_path: Path) -> None:
    store = await open_store()
    await store.append(series(3))
    other = apsw.Connection(str(tmp_path / "data" / "readings.db"))
    other.execute("BEGIN IMMEDIATE")
    assert await history(store) == series(3)[::-1]
    other.close()


async def test_a_query_on_a_damaged_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    store = SqliteStore(path, Settings())
    await store.open()
    await store.append(series(500))
    await store.close()
    damage(path)
    damaged = SqliteStore(path, Settings())
    await damaged.open()
    with pytest.raises(Unavailable, match="damaged"):
        await damaged.latest(limit=1)
    await damaged.close()
