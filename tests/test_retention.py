"""Old readings go, in small steps, and nothing else does."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from sensorcast import retention
from sensorcast.retention import Retention
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.store import history
from tests.readings import SECOND_US, T0_S, series

DAY_S = 86_400


@pytest.fixture
async def store(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    await store.open()
    return store


async def test_a_round_deletes_what_is_too_old_in_small_steps(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP_READINGS", 7)
    monkeypatch.setattr(retention, "_SHORTEST_PAUSE_S", 0)
    await store.append([*series(50), *series(50, "u2", org="other")])
    deleted = await Retention(store, 1, clock_s=lambda: T0_S + DAY_S + 30).round()
    assert deleted == 60
    assert await history(store) == series(20, start_us=30 * SECOND_US)[::-1]
    assert len(await history(store, "u2", org="other")) == 20
    await store.close()


async def test_it_runs_by_itself_survives_trouble_and_stops(store: SqliteStore) -> None:
    await store.append(series(3))
    old = Retention(store, 1, clock_s=lambda: T0_S + 2 * DAY_S)
    old.start()
    deadline_s = asyncio.get_running_loop().time() + 30
    while await history(store):
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.01)
    await old.stop()
    await store.close()
    old.start()
    await asyncio.sleep(0)
    await old.stop()


async def test_without_days_nothing_is_deleted(store: SqliteStore) -> None:
    await store.append(series(3))
    off = Retention(store, 0, clock_s=lambda: T0_S + 9_999 * DAY_S)
    off.start()
    await asyncio.sleep(0)
    await off.stop()
    assert len(await history(store)) == 3
    await store.close()


async def test_a_fault_does_not_end_it(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = 0

    async def fail(**_: int) -> int:
        nonlocal rounds
        rounds += 1
        raise RuntimeError("nothing expires")

    monkeypatch.setattr(retention, "BETWEEN_ROUNDS_S", 0.01)
    monkeypatch.setattr(store, "expire", fail)
    old = Retention(store, 1, clock_s=lambda: T0_S)
    old.start()
    async with asyncio.timeout(30):
        while rounds < 2:
            await asyncio.sleep(0.01)
    await old.stop()
    await store.close()


async def test_the_longest_time_that_can_be_set_is_one_the_store_can_compare(store: SqliteStore) -> None:
    (row,) = (each for each in dataclasses.fields(Settings) if each.name == "retention_days")
    assert await Retention(store, row.metadata["high"], clock_s=lambda: T0_S).round() == 0
    await store.close()
