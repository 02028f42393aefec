"""Units and devices become known in the background, and trouble with that costs nothing but time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sensorcast.metrics import REGISTRY
from sensorcast.model import Device, Entry, Unit
from sensorcast.registry import newcomers as newcomers_module
from sensorcast.registry.known import Known
from sensorcast.registry.newcomers import Newcomers
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.registry import ids

SETTINGS = Settings(registry_units_max=3, registry_devices_max=2)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "readings.db", SETTINGS)
    await store.open()
    yield store
    await store.close()


def unit(number: int, org: str = "acme") -> Unit:
    return Unit(organization_id=org, unit_id=f"u{number}", created_at_us=1)


def device(number: int, org: str = "acme") -> Device:
    return Device(organization_id=org, device_id=f"d{number}", created_at_us=1)


def known_without(*units: Unit) -> Known:
    known = Known()
    known.learn([each.unit_id for each in units], [], otherwise=None)
    return known


async def registered(store: SqliteStore, known: Known, *entries: Unit | Device) -> None:
    """Hand in entries, and wait until the work is done."""
    newcomers = Newcomers(store)
    for entry in entries:
        newcomers.add(entry, known)
    newcomers.start()
    await newcomers.stop()


def skipped(reason: str) -> float:
    return REGISTRY.get_sample_value("sensorcast_registry_skipped_total", {"reason": reason}) or 0.0


async def units(store: SqliteStore, org: str = "acme") -> list[str]:
    return ids(await store.list_entries(Unit, org, after=None, limit=99))


async def test_what_is_handed_in_is_registered_before_the_end(store: SqliteStore) -> None:
    before = REGISTRY.get_sample_value("sensorcast_registry_added_total") or 0.0
    known = known_without(unit(1), unit(2))
    await registered(store, known, unit(1), unit(2), unit(1, "globex"), device(1))
    assert (await units(store), await units(store, "globex")) == (["u1", "u2"], ["u1"])
    assert await store.find_entry(Device, "acme", "d1") == device(1)
    assert REGISTRY.get_sample_value("sensorcast_registry_added_total") == before + 4
    known.doubt()
    assert (set(known.sites), known.devices) == ({"u1", "u2"}, {None, "d1"})


async def test_what_is_there_already_is_confirmed_without_a_write(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_entry(unit(1))
    written: list[Entry] = []

    async def add_missing(entries: list[Entry]) -> int:
        written.extend(entries)
        return len(entries)

    monkeypatch.setattr(store, "add_missing", add_missing)
    known = known_without(unit(1))
    await registered(store, known, unit(1))
    known.doubt()
    assert (written, set(known.sites)) == ([], {"u1"})


async def test_beyond_the_bound_nothing_is_registered_and_the_log_says_so_once(store: SqliteStore) -> None:
    before = skipped("full")
    entries = [*map(unit, range(5)), *map(device, range(3))]
    known = known_without(*map(unit, range(5)))
    newcomers = Newcomers(store)
    with capture_logs() as lines:
        for _ in range(2):
            for entry in entries:
                newcomers.add(entry, known)
            newcomers.start()
            await newcomers.stop()
            known.doubt()
    full = [(line["organization"], line["setting"]) for line in lines if line["event"] == "registry_full"]
    assert sorted(full) == [("acme", "registry_devices_max"), ("acme", "registry_units_max")]
    assert await units(store) == ["u0", "u1", "u2"]
    assert skipped("full") >= before + 3
    # What was left out is expected no longer, so that a later reading tries again.
    assert (set(known.sites), known.devices) == ({"u0", "u1", "u2"}, {None, "d0", "d1"})


async def test_an_organization_that_is_full_is_not_tried_for_each_newcomer(store: SqliteStore) -> None:
    before = skipped("full")
    known = known_without(unit(1))
    known.full.add(Unit)
    await registered(store, known, unit(1), device(1))
    assert (await units(store), skipped("full")) == ([], before + 1)
    assert await store.find_entry(Device, "acme", "d1") is not None


async def test_trouble_of_the_store_drops_what_waits_and_is_counted(store: SqliteStore) -> None:
    await store.close()
    before = skipped("store")
    known = known_without(unit(1), unit(2))
    with capture_logs() as lines:
        await registered(store, known, unit(1), unit(2), device(1))
    assert [line["event"] for line in lines] == ["registration_put_off"]
    assert skipped("store") == before + 3
    known.doubt()
    assert (known.sites, known.devices) == ({}, {None})


async def test_a_fault_of_ours_does_not_end_the_work(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers_module, "_STEP_ENTRIES", 1)
    find = store.find_entries

    async def find_entries(kind: type[Unit], organization_id: str, entry_ids: list[str]) -> list[Unit]:
        if entry_ids == ["u1"]:
            raise RuntimeError("a fault of ours")
        return await find(kind, organization_id, entry_ids)

    monkeypatch.setattr(store, "find_entries", find_entries)
    with capture_logs() as lines:
        await registered(store, known_without(unit(1), unit(2)), unit(1), unit(2))
    assert [line["event"] for line in lines] == ["registration_fault"]
    assert await units(store) == ["u2"]


async def test_too_many_that_wait_are_dropped_and_counted(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers_module, "_WAITING_MAX", 2)
    before = skipped("queue")
    known = known_without(*map(unit, range(3)))
    await registered(store, known, *map(unit, range(3)))
    assert (await units(store), skipped("queue")) == (["u0", "u1"], before + 1)
