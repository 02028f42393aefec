"""Entries of the registry as rows, alike in every database, and how many of them there may be.

The invariant: a row gives back the entry it was made from, and only entries that passed `check_entry` become rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from sensorcast.entries import check_entry
from sensorcast.errors import InvalidRequest
from sensorcast.model import Device, Entry, Organization, Site, Unit
from sensorcast.settings import Settings

COLUMNS: Final = "kind, organization_id, entry_id, name, site_id, unit_id, area, metadata, created_at_us"

KINDS: Final[Mapping[type[Any], str]] = {Organization: "organization", Site: "site", Unit: "unit", Device: "device"}

SETTINGS: Final = {"site": "registry_sites_max", "unit": "registry_units_max", "device": "registry_devices_max"}
"""Which setting bounds a kind."""

_METADATA: Final = msgspec.json.Decoder(dict[str, str | int | float | bool])


class Row(NamedTuple):
    """The columns, in their order."""

    kind: str
    organization_id: str
    entry_id: str
    name: str
    site_id: str | None
    unit_id: str | None
    area: str
    metadata: str
    created_at_us: int


def to_row(entry: Entry) -> Row:
    """Give the row of an entry. Raises `InvalidRequest` when it holds what is not allowed."""
    check_entry(entry)
    return Row(
        kind=KINDS[type(entry)],
        organization_id=entry.organization_id,
        entry_id=entry.entry_id,
        name=entry.name,
        site_id=entry.site_id if isinstance(entry, Unit) else None,
        unit_id=entry.unit_id if isinstance(entry, Device) else None,
        area=entry.area if isinstance(entry, Unit) else "",
        metadata=msgspec.json.encode(entry.metadata).decode(),
        created_at_us=entry.created_at_us,
    )


def from_row(columns: Iterable[Any]) -> Any:
    """Give the entry of a row: of the type that the row's kind says."""
    row = Row(*columns)
    common: dict[str, Any] = {
        "organization_id": row.organization_id,
        "name": row.name,
        "metadata": _METADATA.decode(row.metadata),
        "created_at_us": row.created_at_us,
    }
    match row.kind:
        case "organization":
            return Organization(**common)
        case "site":
            return Site(site_id=row.entry_id, **common)
        case "unit":
            return Unit(unit_id=row.entry_id, site_id=row.site_id, area=row.area, **common)
        case _:
            return Device(device_id=row.entry_id, unit_id=row.unit_id, **common)


def grouped(entries: Iterable[Entry]) -> dict[str, dict[str, dict[str, Row]]]:
    """Give rows by organization, kind and id, the first of each; organizations in order.

    In order, so that two servers that lock the same organizations never wait for each other in a circle.
    """
    groups: dict[str, dict[str, dict[str, Row]]] = {}
    for row in sorted(map(to_row, entries), key=lambda row: row.organization_id):
        groups.setdefault(row.organization_id, {}).setdefault(row.kind, {}).setdefault(row.entry_id, row)
    return groups


def nameless(organization_id: str, created_at_us: int) -> Row:
    """Give the row by which an organization is known of which nothing is said."""
    return to_row(Organization(organization_id=organization_id, created_at_us=created_at_us))


def oldest_us(kinds: Mapping[str, Mapping[str, Row]]) -> int:
    """Give when the first of the rows of one organization was created."""
    return min(row.created_at_us for rows in kinds.values() for row in rows.values())


def room(kind: str, settings: Settings, count: int) -> int:
    """Give how many more entries of a kind an organization may have that has `count`; of itself there is always one."""
    return max(0, _most(kind, settings) - count) if kind in SETTINGS else 1


def _most(kind: str, settings: Settings) -> int:
    return int(getattr(settings, SETTINGS[kind]))


def refusal(kind: str, settings: Settings) -> InvalidRequest:
    """Say that an organization has as many entries of a kind as it may have."""
    return InvalidRequest(
        f"an organization has {_most(kind, settings)} {kind}s at most in the registry (setting {SETTINGS[kind]})",
        hint="Remove what is no longer used, or raise the setting.",
    )
