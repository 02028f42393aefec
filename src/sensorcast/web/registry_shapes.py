"""What the registry's door takes and answers, and how entries become answers.

The invariant: a body names what may be changed and nothing else, so neither an organization nor an id nor a time can be
given in it. What an entry may hold is checked once, by `entries.check_entry`; the bounds here are those it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from sensorcast import model
from sensorcast.entries import METADATA_MAX_ENTRIES, NAME_MAX_CHARACTERS
from sensorcast.model import ID_PATTERN, Reading, format_time
from sensorcast.stream.outgoing import UnitReading, unit_reading
from sensorcast.web.answers import Answer
from sensorcast.web.bodies import Body

Id = Annotated[str, Meta(pattern=ID_PATTERN)]
Text = Annotated[str, Meta(max_length=NAME_MAX_CHARACTERS, description="Without control characters.")]
Value = str | int | float | bool
Metadata = Annotated[
    Mapping[str, Value], Meta(max_length=METADATA_MAX_ENTRIES, description="Names and plain values; at most 4 KiB.")
]


class OrganizationChange(Body, frozen=True):
    """What to change of the organization itself; what is left out stays, whoever changes it at the same time."""

    name: Text | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class SiteDescription(Body, frozen=True):
    """A site as it shall be; what is left out is empty."""

    name: Text = ""
    metadata: Metadata = field(default_factory=dict)


class UnitDescription(Body, frozen=True):
    """A unit as it shall be; what is left out is empty. The site must be registered."""

    name: Text = ""
    site_id: Id | None = None
    area: Text = ""
    metadata: Metadata = field(default_factory=dict)


class DeviceDescription(Body, frozen=True):
    """A device as it shall be; what is left out is empty. The unit must be registered."""

    name: Text = ""
    unit_id: Id | None = None
    metadata: Metadata = field(default_factory=dict)


class Organization(Answer, frozen=True):
    """The organization itself. `createdAt` is there when something is registered of it."""

    organization_id: str
    name: str
    metadata: Mapping[str, Value]
    created_at: str | None = None


class Site(Answer, frozen=True):
    """A place where units stand."""

    site_id: str
    name: str
    metadata: Mapping[str, Value]
    created_at: str


class Unit(Answer, frozen=True):
    """A unit and its newest reading, null before the first. `createdAt` is there when the unit is registered."""

    unit_id: str
    name: str
    site_id: str | None
    area: str
    metadata: Mapping[str, Value]
    latest: UnitReading | None
    created_at: str | None = None


class Device(Answer, frozen=True):
    """What measures a unit."""

    device_id: str
    name: str
    unit_id: str | None
    metadata: Mapping[str, Value]
    created_at: str


class SiteList(Answer, frozen=True):
    """Sites by id. `nextCursor` is there when there are more."""

    sites: Sequence[Site]
    next_cursor: str | None = None


class UnitList(Answer, frozen=True):
    """Units by id. `nextCursor` is there when there are more."""

    units: Sequence[Unit]
    next_cursor: str | None = None


class DeviceList(Answer, frozen=True):
    """Devices by id. `nextCursor` is there when there are more."""

    devices: Sequence[Device]
    next_cursor: str | None = None


def organization(organization_id: str, entry: model.Organization | None) -> Organization:
    """Give an organization as it is answered, also one of which nothing is registered."""
    if entry is None:
        return Organization(organization_id=organization_id, name="", metadata={})
    return Organization(
        organization_id=organization_id,
        name=entry.name,
        metadata=entry.metadata,
        created_at=format_time(entry.created_at_us),
    )


def site(entry: model.Site) -> Site:
    """Give a site as it is answered."""
    return Site(
        site_id=entry.site_id, name=entry.name, metadata=entry.metadata, created_at=format_time(entry.created_at_us)
    )


def unit(unit_id: str, entry: model.Unit | None, newest: Reading | None) -> Unit:
    """Give a unit as it is answered: registered, or known by its readings, or both."""
    latest = None if newest is None else unit_reading(newest)
    if entry is None:
        return Unit(unit_id=unit_id, name="", site_id=None, area="", metadata={}, latest=latest)
    return Unit(
        unit_id=unit_id,
        name=entry.name,
        site_id=entry.site_id,
        area=entry.area,
        metadata=entry.metadata,
        latest=latest,
        created_at=format_time(entry.created_at_us),
    )


def device(entry: model.Device) -> Device:
    """Give a device as it is answered."""
    return Device(
        device_id=entry.device_id,
        name=entry.name,
        unit_id=entry.unit_id,
        metadata=entry.metadata,
        created_at=format_time(entry.created_at_us),
    )
