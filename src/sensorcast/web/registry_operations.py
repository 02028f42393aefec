"""The rows of the API description for the registry.

The invariant: each kind of entry is listed, shown, put and removed in the same way.
"""

from __future__ import annotations

from typing import Final

from sensorcast.web import queries, registry, registry_units
from sensorcast.web.described import CHANGE, LOOKUP, PAGE, Operation

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
    Operation(
        path=registry.SITES_PATH,
        summary="Sites, by id",
        answer="SiteList",
        credential="token",
        query=PAGE,
        problems=LOOKUP,
    ),
    Operation(
        path=registry.SITE_PATH,
        summary="One site",
        answer="Site",
        credential="token",
        problems=LOOKUP,
    ),
    Operation(
        path=registry.SITE_PATH,
        method="put",
        summary="Register a site (201), or replace its registration (200); for the roles admin and owner",
        body="SiteDescription",
        answer="Site",
        also="201",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=registry.SITE_PATH,
        method="delete",
        summary="Remove a site at which no unit is registered",
        status="204",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=queries.UNITS_PATH,
        summary="Units, registered or known by their readings, with the newest of those, by id",
        answer="UnitList",
        credential="token",
        query=PAGE | {"siteId": "Only units that are registered at this site."},
        problems=LOOKUP,
    ),
    Operation(
        path=registry_units.UNIT_PATH,
        summary="One unit",
        answer="Unit",
        credential="token",
        problems=LOOKUP,
    ),
    Operation(
        path=registry_units.UNIT_PATH,
        method="put",
        summary="Register a unit (201), or replace its registration (200); for the roles admin and owner",
        body="UnitDescription",
        answer="Unit",
        also="201",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=registry_units.UNIT_PATH,
        method="delete",
        summary="Remove the registration of a unit; its readings stay",
        status="204",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=registry.DEVICES_PATH,
        summary="Devices, by id",
        answer="DeviceList",
        credential="token",
        query=PAGE | {"unitId": "Only devices that are registered with this unit."},
        problems=LOOKUP,
    ),
    Operation(
        path=registry.DEVICE_PATH,
        summary="One device",
        answer="Device",
        credential="token",
        problems=LOOKUP,
    ),
    Operation(
        path=registry.DEVICE_PATH,
        method="put",
        summary="Register a device (201), or replace its registration (200); for the roles admin and owner",
        body="DeviceDescription",
        answer="Device",
        also="201",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=registry.DEVICE_PATH,
        method="delete",
        summary="Remove the registration of a device; its readings stay",
        status="204",
        credential="token",
        problems=CHANGE,
    ),
)
