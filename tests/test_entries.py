"""What an entry of the registry may hold."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.entries import METADATA_MAX_BYTES, METADATA_MAX_ENTRIES, NAME_MAX_CHARACTERS, check_entry
from sensorcast.errors import InvalidRequest
from sensorcast.model import Device, Organization, Site, Unit


def unit(**fields: Any) -> Unit:
    return Unit(**({"organization_id": "acme", "unit_id": "u1", "created_at_us": 1} | fields))


@pytest.mark.parametrize(
    "entry",
    [
        Organization(organization_id="acme", created_at_us=1),
        Site(organization_id="acme", site_id="s1", name="Köln, Halle 7 – 冷凍庫 ❄", created_at_us=1),
        unit(name="x" * NAME_MAX_CHARACTERS, site_id="s1", area="left aisle"),
        Device(organization_id="acme", device_id="d1", unit_id="u1", created_at_us=1),
        unit(metadata={"min": -25.5, "max": 2**53, "alarm": True, "serial": "A\n1", "größe": ""}),
        unit(metadata={str(number): "" for number in range(METADATA_MAX_ENTRIES)}),
        unit(metadata={"a": "x" * (METADATA_MAX_BYTES - 8)}),
    ],
    ids=lambda entry: type(entry).__name__,
)
def test_what_operators_write_is_allowed(entry):
    check_entry(entry)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (Organization(organization_id="a b", created_at_us=1), "organizationId"),
        (Site(organization_id="acme", site_id="", created_at_us=1), "siteId"),
        (unit(unit_id="a/b"), "unitId"),
        (unit(site_id="a\0"), "siteId"),
        (unit(site_id=""), "siteId"),
        (unit(name="x" * (NAME_MAX_CHARACTERS + 1)), "name"),
        (unit(name="a\nb"), "name"),
        (unit(name="\x85"), "name"),
        (unit(name="\u2028"), "name"),
        (unit(area="\ud800"), "area"),
        (Device(organization_id="acme", device_id="d 1", created_at_us=1), "deviceId"),
        (Device(organization_id="acme", device_id="d1", unit_id="?", created_at_us=1), "unitId"),
    ],
)
def test_anything_else_is_refused_by_the_name_of_its_field(entry, field):
    with pytest.raises(InvalidRequest, match=f"^{field} must be"):
        check_entry(entry)


@pytest.mark.parametrize(
    ("metadata", "rule"),
    [
        ({str(number): 1 for number in range(METADATA_MAX_ENTRIES + 1)}, "the most is 32"),
        ({"a": "x" * METADATA_MAX_BYTES}, "the most is 4096"),
        ({"": 1}, "names in metadata"),
        ({"a\0": 1}, "names in metadata"),
        ({"x" * (NAME_MAX_CHARACTERS + 1): 1}, "names in metadata"),
        ({"a": None}, "values in metadata"),
        ({"a": [1]}, "values in metadata"),
        ({"a": {}}, "values in metadata"),
        ({"a": float("nan")}, "values in metadata"),
        ({"a": 2**53 + 1}, "values in metadata"),
        ({"a": "\udfff"}, "values in metadata"),
    ],
)
def test_metadata_is_flat_and_small(metadata, rule):
    with pytest.raises(InvalidRequest, match=rule):
        check_entry(unit(metadata=metadata))
