"""Before and after the store: sites filled in, unknown units refused or registered, changes seen in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sensorcast.errors import InvalidReading, Unavailable
from sensorcast.model import Device, Organization, Reading, Unit
from sensorcast.registry import Registry
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite import SqliteStore
from tests.readings import reading
from tests.support.postgres import PostgresServer

BAD = InvalidReading("out_of_range", "humidity must be ...")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def registry(store: SqliteStore, clock: Clock) -> Registry:
    return Registry(store, Settings(), clock)


@pytest.fixture
def strict(store: SqliteStore, clock: Clock) -> Registry:
    return Registry(store, Settings(auto_register=False), clock)


def unit(unit_id: str = "u1", org: str = "acme", **fields: Any) -> Unit:
    return Unit(organization_id=org, unit_id=unit_id, created_at_us=1, **fields)


async def sites(registry: Registry, *readings: Reading, org: str = "acme") -> list[str | None]:
    prepared = await registry.prepare(org, readings)
    return [each.site_id if isinstance(each, Reading) else each.item_code for each in prepared]


async def registered(registry: Registry, store: SqliteStore, *readings: Reading) -> None:
    """Take readings in, and wait until the first one's unit is registered."""
    await registry.prepare("acme", readings)
    registry.registered("acme", readings)
    async with asyncio.timeout(30):
        while await store.find_entry(Unit, "acme", readings[0].unit_id) is None:
            await asyncio.sleep(0.01)


async def drained(registry: Registry) -> None:
    """Let the background work be done."""
    registry.start()
    await registry.stop()


async def test_a_reading_gets_the_site_of_its_unit_unless_it_names_one(registry: Registry, store: SqliteStore) -> None:
    await store.put_entry(unit(site_id="north"))
    assert await sites(registry, reading(), reading(site_id="truck"), reading("u2")) == ["north", "truck", None]


async def test_alike_unit_ids_of_two_organizations_are_two_units(
    registry: Registry, strict: Registry, store: SqliteStore
) -> None:
    await store.put_entry(unit(site_id="north"))
    await store.put_entry(unit("u2", "globex", site_id="south"))
    for each in (registry, strict):
        assert await sites(each, reading()) == ["north"]
    assert await sites(registry, reading(org="globex"), reading("u2", org="globex"), org="globex") == [None, "south"]
    assert await sites(strict, reading(org="globex"), org="globex") == ["unknown_unit"]


async def test_items_that_are_no_readings_keep_their_places(registry: Registry, store: SqliteStore) -> None:
    await store.put_entry(unit(site_id="north"))
    assert await registry.prepare("acme", [BAD, BAD]) == [BAD, BAD]
    first, second, third = await registry.prepare("acme", [BAD, reading(), BAD])
    assert (first, third) == (BAD, BAD)
    assert isinstance(second, Reading)
    assert second.site_id == "north"
    assert await registry.prepare("acme", []) == []


async def test_readings_of_known_units_without_a_site_are_given_back_as_they_came_without_a_query(
    registry: Registry, store: SqliteStore
) -> None:
    items = [reading(), reading("u2")]
    await registry.prepare("acme", items)
    await store.close()
    assert await registry.prepare("acme", items) is items


async def test_unknown_units_are_refused_without_auto_registration_and_not_registered(
    strict: Registry, store: SqliteStore
) -> None:
    await store.put_entry(unit(site_id="north"))
    assert await sites(strict, reading(), reading("u2"), reading("u2", site_id="x")) == ["north", *["unknown_unit"] * 2]
    strict.registered("acme", [reading("u2", device_id="d1")])
    await drained(strict)
    assert await store.find_entry(Unit, "acme", "u2") is None
    assert await store.find_entry(Device, "acme", "d1") is None


async def test_first_readings_register_organization_unit_and_device(registry: Registry, store: SqliteStore) -> None:
    first, second = reading(device_id="d1"), reading("u2", 7, device_id="d1")
    await registry.prepare("acme", [first, second])
    registry.registered("acme", [first, second])
    await drained(registry)
    found = [await store.find_entry(Unit, "acme", unit_id) for unit_id in ("u1", "u2")]
    assert [each.created_at_us for each in found if each] == [first.received_at_us, second.received_at_us]
    device = await store.find_entry(Device, "acme", "d1")
    assert device is not None
    assert device.unit_id == "u1"
    assert await store.find_entry(Organization, "acme", "acme") is not None


async def test_registering_changes_nothing_about_what_is_there(registry: Registry, store: SqliteStore) -> None:
    await store.put_entry(unit(name="Fridge", site_id="north"))
    await registry.prepare("acme", [reading()])
    registry.registered("acme", [reading(device_id="d1")])
    await drained(registry)
    assert await store.find_entry(Unit, "acme", "u1") == unit(name="Fridge", site_id="north")


async def test_a_crash_before_the_registration_is_made_good_by_the_next_reading(
    registry: Registry, store: SqliteStore, clock: Clock
) -> None:
    items = [reading(device_id="d1")]
    await registry.prepare("acme", items)
    await store.append(items)
    registry.registered("acme", items)  # and the process dies before the background work began
    after = Registry(store, Settings(), clock)
    following = [reading(at_us=1, device_id="d1")]
    await after.prepare("acme", following)
    after.registered("acme", following)
    await drained(after)
    assert await store.find_entry(Unit, "acme", "u1") is not None
    assert await store.find_entry(Device, "acme", "d1") is not None


async def test_what_could_not_be_registered_is_tried_again_after_the_cache_time(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "other.db", Settings(registry_units_max=1))
    await store.open()
    registry = Registry(store, Settings(registry_cache_s=3_600), clock)
    registry.start()
    await registered(registry, store, reading("u1"))
    await registry.prepare("acme", [reading("u2")])
    registry.registered("acme", [reading("u2")])
    await store.remove_entry(Unit, "acme", "u1")
    clock.now_s = 3_600.0
    await registered(registry, store, reading("u2"))
    await registry.stop()
    await store.close()


async def test_a_change_acts_at_the_next_look(registry: Registry, store: SqliteStore) -> None:
    await store.put_entry(unit(site_id="north"))
    await registry.look()
    assert await sites(registry, reading()) == ["north"]
    await store.put_entry(unit(site_id="south"))
    assert await sites(registry, reading()) == ["north"]
    await registry.look()
    assert await sites(registry, reading()) == ["south"]
    await store.remove_entry(Unit, "acme", "u1")
    await registry.look()
    assert await sites(registry, reading()) == [None]


async def test_a_change_on_this_node_acts_at_once(strict: Registry, store: SqliteStore) -> None:
    assert await sites(strict, reading()) == ["unknown_unit"]
    await store.put_entry(unit())
    strict.forget("acme")
    assert await sites(strict, reading()) == [None]


async def test_a_unit_that_another_node_registered_is_known_within_the_cache_time(
    strict: Registry, store: SqliteStore, clock: Clock
) -> None:
    assert await sites(strict, reading()) == ["unknown_unit"]
    await store.add_missing([unit()])
    clock.now_s = 4.9
    assert await sites(strict, reading()) == ["unknown_unit"]
    clock.now_s = 5.0
    assert await sites(strict, reading()) == [None]


async def test_changes_are_followed_while_the_registry_runs(store: SqliteStore) -> None:
    registry = Registry(store, Settings(registry_cache_s=0.05), asyncio.get_running_loop().time)
    registry.start()
    await sites(registry, reading())
    await store.put_entry(unit(site_id="north"))
    async with asyncio.timeout(30):
        while await sites(registry, reading()) != ["north"]:
            await asyncio.sleep(0.01)
    await registry.stop()


async def test_a_fault_while_changes_are_followed_does_not_end_it(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    async def fail_once(since: int) -> tuple[int, list[str]]:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise RuntimeError("no changes for you")
        return since, []

    monkeypatch.setattr(store, "registry_changes", fail_once)
    registry = Registry(store, Settings(registry_cache_s=0.05), asyncio.get_running_loop().time)
    registry.start()
    async with asyncio.timeout(30):
        while looked < 3:
            await asyncio.sleep(0.01)
    await registry.stop()


async def test_a_look_that_fails_ends_nothing_and_what_is_known_goes_on(store: SqliteStore) -> None:
    registry = Registry(store, Settings(registry_cache_s=0.05), asyncio.get_running_loop().time)
    await store.put_entry(unit(site_id="north"))
    await registry.look()
    registry.start()
    assert await sites(registry, reading()) == ["north"]
    await store.close()
    with pytest.raises(Unavailable):
        await registry.look()
    with pytest.raises(Unavailable):
        await registry.prepare("acme", [reading("never-seen")])
    assert await sites(registry, reading()) == ["north"]
    await registry.stop()


async def test_units_doubted_while_others_are_looked_up_are_looked_up_again(
    registry: Registry, store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.prepare("acme", [reading("u1")])
    find: Callable[..., Awaitable[list[Unit]]] = store.find_entries

    async def find_slowly(*question: Any) -> list[Unit]:
        found = await find(*question)
        clock.now_s += 5.0
        if clock.now_s < 20:
            await registry.prepare("acme", [])  # another request, after the time in which "missing" holds
        return found

    monkeypatch.setattr(store, "find_entries", find_slowly)
    assert await sites(registry, reading("u1"), reading("u2")) == [None, None]


async def test_everybody_may_ask_at_once_after_a_restart(registry: Registry) -> None:
    answers = await asyncio.gather(
        *(sites(registry, reading(org=f"o{number}"), org=f"o{number}") for number in range(2_000))
    )
    assert answers == [[None]] * 2_000


async def test_two_servers_on_one_postgres_share_one_registry(postgres: PostgresServer, clock: Clock) -> None:
    url = await postgres.new_database()
    stores = [PostgresStore(url, Settings()) for _ in range(2)]
    for store in stores:
        await store.open()
    here, there = (Registry(store, Settings(), clock) for store in stores)
    items = [reading(f"u{number}", device_id=f"d{number}") for number in range(60)]
    for each in (here, there):
        await each.prepare("acme", items)
        each.registered("acme", items)
    await asyncio.gather(drained(here), drained(there))
    assert len(await stores[0].list_entries(Unit, "acme", after=None, limit=99)) == 60
    assert len(await stores[1].list_entries(Device, "acme", after=None, limit=99)) == 60
    await stores[0].put_entry(unit(site_id="north"))
    await there.look()
    assert await sites(there, reading()) == ["north"]
    for store in stores:
        await store.close()
