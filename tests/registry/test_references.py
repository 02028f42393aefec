"""Claims about references between entries: to what the same organization has registered, and to nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import Device, Entry, Organization, Site, Unit
from sensorcast.registry.references import check_references, check_unused
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "registry.db", Settings())
    await opened.open()
    for organization_id in ("acme", "globex"):
        suffix = "" if organization_id == "acme" else "-of-globex"
        for entry in (site(f"pier{suffix}", organization_id), unit(f"fridge{suffix}", organization_id)):
            await opened.put_entry(entry)
    yield opened
    await opened.close()


def site(site_id: str, organization_id: str = "acme") -> Site:
    return Site(organization_id=organization_id, site_id=site_id, created_at_us=0)


def unit(unit_id: str, organization_id: str = "acme", site_id: str | None = None) -> Unit:
    return Unit(organization_id=organization_id, unit_id=unit_id, created_at_us=0, site_id=site_id)


def device(unit_id: str | None) -> Device:
    return Device(organization_id="acme", device_id="tx", created_at_us=0, unit_id=unit_id)


@pytest.mark.parametrize(
    "entry",
    [
        Organization(organization_id="acme", created_at_us=0),
        site("quay"),
        unit("freezer"),
        unit("freezer", site_id="pier"),
        device(None),
        device("fridge"),
    ],
    ids=repr,
)
async def test_what_is_registered_may_be_named(store: SqliteStore, entry: Entry) -> None:
    await check_references(store, entry)


@pytest.mark.parametrize("entry", [unit("freezer", site_id="quay"), device("freezer")], ids=repr)
async def test_what_is_not_registered_is_refused(store: SqliteStore, entry: Entry) -> None:
    with pytest.raises(InvalidRequest, match="that is not registered"):
        await check_references(store, entry)


@pytest.mark.parametrize("entry", [unit("freezer", site_id="pier-of-globex"), device("fridge-of-globex")], ids=repr)
async def test_what_another_organization_has_is_not_registered(store: SqliteStore, entry: Entry) -> None:
    with pytest.raises(InvalidRequest, match="that is not registered"):
        await check_references(store, entry)


async def test_a_site_with_units_is_in_use_and_only_for_its_organization(store: SqliteStore) -> None:
    await store.put_entry(unit("fridge", site_id="pier"))
    with pytest.raises(InvalidRequest, match="units are registered at this site"):
        await check_unused(store, Site, "acme", "pier")
    await check_unused(store, Site, "globex", "pier")
    await check_unused(store, Unit, "acme", "fridge")
