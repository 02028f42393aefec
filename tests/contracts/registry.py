"""The contract of `RegistryStore`, run on every implementation.

A twin of an implementation subclasses it and gives the fixture `open_store`, which opens one and the same database
each time it is called, with `SETTINGS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import ApiKey, Device, Entry, Organization, Site, Unit
from sensorcast.settings import Settings
from sensorcast.store import Store
from tests.contracts.store import history
from tests.readings import T0_US, reading

OpenRegistry = Callable[[], Awaitable[Store]]

SITES_MAX, UNITS_MAX, DEVICES_MAX = 2, 8, 3
SETTINGS = Settings(registry_sites_max=SITES_MAX, registry_units_max=UNITS_MAX, registry_devices_max=DEVICES_MAX)


def organization(organization_id: str = "acme", **fields: object) -> Organization:
    return msgspec.convert({"organization_id": organization_id, "created_at_us": T0_US} | fields, Organization)


def site(site_id: str = "s1", org: str = "acme", name: str = "") -> Site:
    return Site(organization_id=org, site_id=site_id, name=name, created_at_us=T0_US)


def unit(unit_id: str = "u1", org: str = "acme", *, site_id: str | None = None, name: str = "") -> Unit:
    return Unit(organization_id=org, unit_id=unit_id, site_id=site_id, name=name, created_at_us=T0_US)


def device(device_id: str = "d1", org: str = "acme", *, unit_id: str | None = None) -> Device:
    return Device(organization_id=org, device_id=device_id, unit_id=unit_id, created_at_us=T0_US)


def ids(entries: list[Unit] | list[Device] | list[Site] | list[Organization]) -> list[str]:
    return [entry.entry_id for entry in entries]


async def units(store: Store, org: str = "acme") -> list[Unit]:
    return await store.list_entries(Unit, org, after=None, limit=1_000)


class RegistryContract:
    @pytest.fixture
    async def store(self, open_store: OpenRegistry) -> Store:
        return await open_store()

    @pytest.mark.parametrize(
        "entry",
        [
            organization(name="Acme, Köln", metadata={"plan": 2}),
            site(name="North"),
            Unit(
                organization_id="acme",
                unit_id="u1",
                name="Fridge ❄",
                site_id="s1",
                area="left",
                metadata={"serial": "Ä-1\n\0", "min": -25.5, "whole": 7, "round": 7.0, "alarm": True},
                created_at_us=T0_US,
            ),
            device(unit_id="u1"),
        ],
        ids=lambda entry: type(entry).__name__,
    )
    async def test_what_is_put_is_found_as_it_was(self, store: Store, entry: Entry, open_store: OpenRegistry) -> None:
        assert await store.find_entry(type(entry), "acme", entry.entry_id) is None
        assert await store.put_entry(entry)
        assert await store.find_entry(type(entry), "acme", entry.entry_id) == entry
        await store.close()
        found = await (await open_store()).find_entry(type(entry), "acme", entry.entry_id)
        assert found == entry
        assert [type(value) for value in found.metadata.values()] == [type(value) for value in entry.metadata.values()]

    async def test_an_entry_is_replaced_whole_but_for_its_creation(self, store: Store) -> None:
        await store.put_entry(unit(site_id="s1", name="old"))
        later = Unit(organization_id="acme", unit_id="u1", area="back", created_at_us=T0_US + 9)
        assert not await store.put_entry(later)
        assert await store.find_entry(Unit, "acme", "u1") == msgspec.structs.replace(later, created_at_us=T0_US)

    async def test_only_what_is_named_is_replaced(self, store: Store) -> None:
        assert await store.put_entry(unit(site_id="s1", name="old"), only=["name"])
        assert await store.find_entry(Unit, "acme", "u1") == unit(site_id="s1", name="old")
        assert not await store.put_entry(unit(name="new"), only=["name"])
        assert await store.find_entry(Unit, "acme", "u1") == unit(site_id="s1", name="new")
        assert not await store.put_entry(unit(name="other"), only=["site_id"])
        assert await store.find_entry(Unit, "acme", "u1") == unit(name="new")
        assert not await store.put_entry(unit(), only=[])
        assert await store.find_entry(Unit, "acme", "u1") == unit(name="new")

    async def test_changes_of_different_fields_at_once_are_all_kept(
        self, store: Store, open_store: OpenRegistry
    ) -> None:
        other = await open_store()
        for number in range(20):
            named, noted = organization(name=f"name {number}"), organization(metadata={"number": number})
            await asyncio.gather(store.put_entry(named, only=["name"]), other.put_entry(noted, only=["metadata"]))
            both = organization(name=f"name {number}", metadata={"number": number})
            assert await store.find_entry(Organization, "acme", "acme") == both

    async def test_alike_ids_of_two_organizations_or_kinds_are_different_entries(self, store: Store) -> None:
        for entry in (unit("x", name="ours"), unit("x", "globex", name="theirs"), site("x"), device("x")):
            assert await store.put_entry(entry)
        assert await store.remove_entry(Unit, "acme", "x")
        assert await store.find_entry(Unit, "acme", "x") is None
        assert await store.find_entry(Unit, "globex", "x") == unit("x", "globex", name="theirs")
        assert await store.find_entry(Site, "acme", "x") == site("x")
        assert await store.find_entry(Device, "globex", "x") is None
        assert ids(await units(store, "globex")) == ["x"]

    async def test_whatever_is_stored_makes_its_organization_known(self, store: Store) -> None:
        key = ApiKey(key_id="k1", organization_id="a", name="", secret_sha256="ab" * 32, created_at_us=T0_US)
        await store.create_key(key)
        await store.put_entry(unit(org="b"))
        await store.add_missing([device(org="c"), unit(org="c")])
        found = await store.list_organizations(after=None, limit=9)
        assert found == [organization("a"), organization("b"), organization("c")]

    async def test_a_key_changes_nothing_about_a_known_organization(self, store: Store) -> None:
        await store.put_entry(organization(name="Acme"))
        key = ApiKey(key_id="k1", organization_id="acme", name="", secret_sha256="ab" * 32, created_at_us=T0_US + 1)
        await store.create_key(key)
        assert await store.find_entry(Organization, "acme", "acme") == organization(name="Acme")

    async def test_organizations_come_page_by_page(self, store: Store) -> None:
        for org in ("b", "B", "a:1", "a", "c"):
            await store.put_entry(unit(org=org))
        assert ids(await store.list_organizations(after=None, limit=3)) == ["B", "a", "a:1"]
        assert ids(await store.list_organizations(after="a:1", limit=3)) == ["b", "c"]
        assert ids(await store.list_entries(Organization, "b", after=None, limit=9)) == ["b"]

    async def test_pages_are_stable_while_entries_come_and_go(self, store: Store) -> None:
        await store.add_missing([unit(name) for name in ("b", "d", "f", "h")])
        first = await store.list_entries(Unit, "acme", after=None, limit=2)
        await store.add_missing([unit("a"), unit("e")])
        await store.remove_entry(Unit, "acme", first[-1].entry_id)
        second = await store.list_entries(Unit, "acme", after=first[-1].entry_id, limit=2)
        third = await store.list_entries(Unit, "acme", after=second[-1].entry_id, limit=2)
        assert [ids(page) for page in (first, second, third)] == [["b", "d"], ["e", "f"], ["h"]]

    async def test_units_are_listed_by_site_and_devices_by_unit(self, store: Store) -> None:
        await store.add_missing([unit("u1", site_id="s1"), unit("u2", site_id="s2"), unit("u3", site_id="s1")])
        await store.add_missing([unit("u4", "globex", site_id="s1"), unit("u5"), device("d1", unit_id="u1")])
        await store.add_missing([device("d2", unit_id="u2"), device("d3")])
        at_site = await store.list_entries(Unit, "acme", after=None, limit=9, site_id="s1")
        assert ids(at_site) == ["u1", "u3"]
        assert ids(await store.list_entries(Unit, "acme", after="u1", limit=9, site_id="s1")) == ["u3"]
        assert ids(await store.list_entries(Device, "acme", after=None, limit=9, unit_id="u2")) == ["d2"]
        assert await store.list_entries(Device, "acme", after=None, limit=9, site_id="s1") == []
        assert await store.list_entries(Site, "acme", after=None, limit=9, site_id="s1") == []

    async def test_several_are_found_at_once(self, store: Store) -> None:
        await store.add_missing([unit("b"), unit("a"), unit("c", "globex")])
        assert ids(await store.find_entries(Unit, "acme", ["c", "b", "a", "a\0"])) == ["a", "b"]
        assert await store.find_entries(Unit, "acme", []) == []

    async def test_adding_what_is_there_changes_nothing(self, store: Store) -> None:
        await store.put_entry(unit("u1", name="mine", site_id="s1"))
        assert await store.add_missing([unit("u1"), unit("u2"), unit("u2", name="again"), device()]) == 2
        assert await store.add_missing([unit("u1"), unit("u2"), device()]) == 0
        assert await units(store) == [unit("u1", name="mine", site_id="s1"), unit("u2")]
        assert await store.add_missing([]) == 0

    async def test_adding_is_all_or_nothing(self, store: Store) -> None:
        with pytest.raises(InvalidRequest, match="name"):
            await store.add_missing([unit("u1"), unit("u2", name="a\nb")])
        assert await units(store) == []
        assert await store.list_organizations(after=None, limit=9) == []

    async def test_what_is_not_allowed_is_not_stored(self, store: Store) -> None:
        with pytest.raises(InvalidRequest, match="siteId"):
            await store.put_entry(unit(site_id="a b"))
        assert await units(store) == []

    @pytest.mark.parametrize(
        ("make", "most", "setting"),
        [
            (site, SITES_MAX, "registry_sites_max"),
            (unit, UNITS_MAX, "registry_units_max"),
            (device, DEVICES_MAX, "registry_devices_max"),
        ],
    )
    async def test_entries_of_an_organization_are_bounded(
        self, store: Store, make: Callable[..., Entry], most: int, setting: str
    ) -> None:
        for number in range(most):
            await store.put_entry(make(f"x{number}"))
        with pytest.raises(InvalidRequest, match=setting):
            await store.put_entry(make("one-more"))
        refused, _ = await store.registry_changes(0)
        assert not await store.put_entry(make("x0"))
        assert await store.put_entry(make("x0", "globex"))
        await store.remove_entry(type(make()), "acme", "x0")
        assert await store.put_entry(make("one-more"))
        assert (await store.registry_changes(refused))[1] == ["globex", "acme"]

    async def test_only_those_beyond_the_bound_are_left_out(self, store: Store) -> None:
        given: list[Entry] = [unit(f"u{number}") for number in range(UNITS_MAX + 5)]
        added = await store.add_missing([*given, device(), unit("u1", "globex")])
        assert added == UNITS_MAX + 2
        assert len(await units(store)) == UNITS_MAX
        assert await store.add_missing(given) == 0

    async def test_what_was_removed_makes_room_in_its_organization_and_no_other(self, store: Store) -> None:
        for org in ("acme", "globex"):
            await store.add_missing([site(f"s{number}", org) for number in range(SITES_MAX)])
        assert await store.remove_entry(Organization, "acme", "acme")
        assert not await store.remove_entry(Site, "globex", "nowhere")
        with pytest.raises(InvalidRequest):
            await store.put_entry(site("one-more", "globex"))
        for number in range(SITES_MAX):
            assert await store.put_entry(site(f"new{number}"))
        with pytest.raises(InvalidRequest):
            await store.put_entry(site("one-more"))

    async def test_two_processes_adding_at_once_add_each_entry_once_and_keep_the_bound(
        self, store: Store, open_store: OpenRegistry
    ) -> None:
        other = await open_store()
        orgs = ("acme", "globex")
        # In opposite orders, half of them alike, more than there is room for.
        calls = [
            each.add_missing([unit(f"{mine}{number}", org) for org in orgs[:: 1 if mine == "a" else -1]])
            for number in range(UNITS_MAX)
            for each, mine in ((store, "a"), (other, "b"), (store, "c"), (other, "c"))
        ]
        added = sum(await asyncio.gather(*calls))
        assert added == 2 * UNITS_MAX
        assert [len(await units(each, org)) for each in (store, other) for org in orgs] == [UNITS_MAX] * 4

    async def test_another_process_learns_whose_entries_were_changed(
        self, store: Store, open_store: OpenRegistry
    ) -> None:
        other = await open_store()
        assert await other.registry_changes(0) == (0, [])
        await store.put_entry(unit(name="a"))
        first, changed = await other.registry_changes(0)
        assert (first > 0, changed) == (True, ["acme"])
        await store.put_entry(unit(org="globex"))
        await store.put_entry(unit(name="b"))
        second, changed = await other.registry_changes(first)
        assert (second > first, changed) == (True, ["globex", "acme"])
        assert await other.registry_changes(second) == (second, [])
        await other.remove_entry(Unit, "globex", "u1")
        third, changed = await store.registry_changes(second)
        assert (third > second, changed) == (True, ["globex"])

    async def test_adding_what_is_missing_is_no_change(self, store: Store) -> None:
        await store.put_entry(unit())
        number, _ = await store.registry_changes(0)
        await store.add_missing([unit("u2"), unit("u1"), unit(org="globex")])
        assert await store.registry_changes(number) == (number, [])

    async def test_changes_at_once_have_numbers_of_their_own(self, store: Store, open_store: OpenRegistry) -> None:
        other = await open_store()
        calls = [each.put_entry(unit(org=f"o{n}{x}")) for n in range(9) for x, each in (("a", store), ("b", other))]
        await asyncio.gather(*calls)
        number, changed = await store.registry_changes(0)
        assert (number, len(changed)) == (18, 18)

    async def test_removing_says_whether_there_was_something(self, store: Store) -> None:
        await store.put_entry(unit())
        assert not await store.remove_entry(Unit, "globex", "u1")
        assert not await store.remove_entry(Site, "acme", "u1")
        assert await store.remove_entry(Unit, "acme", "u1")
        assert not await store.remove_entry(Unit, "acme", "u1")
        assert not await store.remove_entry(Unit, "acme", "a\0b")

    async def test_with_an_organization_go_its_entries_and_no_others(self, store: Store) -> None:
        await store.add_missing([organization(), site(), unit(), device(), unit(org="globex")])
        assert await store.remove_entry(Organization, "acme", "acme")
        for kind in (Organization, Site, Unit, Device):
            assert await store.list_entries(kind, "acme", after=None, limit=9) == []
        assert ids(await store.list_organizations(after=None, limit=9)) == ["globex"]
        assert (await store.registry_changes(0))[1] == ["acme"]

    async def test_removing_a_unit_leaves_its_readings(self, store: Store) -> None:
        await store.append([reading("u1")])
        await store.put_entry(unit("u1"))
        await store.remove_entry(Unit, "acme", "u1")
        await store.remove_entry(Organization, "acme", "acme")
        assert await history(store) == [reading("u1")]
        assert await store.units("acme", after=None, limit=9) == [reading("u1")]
