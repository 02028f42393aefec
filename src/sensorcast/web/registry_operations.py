"""The rows of the API description for the registry.

The invariant: each kind of entry is listed, shown, put and removed in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sensorcast.web import queries, registry
from sensorcast.web.described import CHANGE, LOOKUP, PAGE, Operation


def _of_kind(noun: str, path: str, *, listed: str, removed: str, only: Mapping[str, str] = {}) -> tuple[Operation, ...]:
    """The rows of one kind of entry; `only`: what a list can be narrowed by."""
    one, name = f"{path}/{{{noun}_id}}", noun.capitalize()
    return (
        Operation(
            path=path,
            summary=listed,
            answer=f"{name}List",
            credential="token",
            query={**PAGE, **only},
            problems=LOOKUP,
        ),
        Operation(path=one, summary=f"One {noun}", answer=name, credential="token", problems=LOOKUP),
        Operation(
            path=one,
            method="put",
            summary=f"Register a {noun} (201), or replace its registration (200); for the roles admin and owner",
            body=f"{name}Description",
            answer=name,
            also="201",
            credential="token",
            problems=CHANGE,
        ),
        Operation(path=one, method="delete", summary=removed, status="204", credential="token", problems=CHANGE),
    )


REGISTRY_OPERATIONS: Final = (
    Operation(
        path=registry.ORGANIZATION_PATH,
        summary="The organization itself: name and metadata",
        answer="Organization",
        credential="token",
        problems=LOOKUP,
    ),
    Operation(
        path=registry.ORGANIZATION_PATH,
        method="patch",
        summary="Change name or metadata of the organization; for the roles admin and owner, as all changes here",
        body="OrganizationChange",
        answer="Organization",
        credential="token",
        problems=CHANGE,
    ),
    *_of_kind(
        "site", registry.SITES_PATH, listed="Sites, by id", removed="Remove a site at which no unit is registered"
    ),
    *_of_kind(
        "unit",
        queries.UNITS_PATH,
        listed="Units, registered or known by their readings, with the newest of those, by id",
        removed="Remove the registration of a unit; its readings stay",
        only={"siteId": "Only units that are registered at this site."},
    ),
    *_of_kind(
        "device",
        registry.DEVICES_PATH,
        listed="Devices, by id",
        removed="Remove the registration of a device; its readings stay",
        only={"unitId": "Only devices that are registered with this unit."},
    ),
)
