"""Entries as rows, and back."""

from __future__ import annotations

import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import Device, Organization, Site, Unit
from sensorcast.settings import Settings
from sensorcast.store.registry_rows import from_row, grouped, refusal, room, to_row

ENTRIES = [
    Organization(organization_id="acme", name="Acme", metadata={"a": 1, "b": 1.0, "c": "é"}, created_at_us=1),
    Site(organization_id="acme", site_id="s", created_at_us=2),
    Unit(organization_id="acme", unit_id="u", site_id="s", area="left", name="Fridge", created_at_us=3),
    Device(organization_id="acme", device_id="d", unit_id="u", created_at_us=4),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_a_row_gives_back_its_entry(entry):
    assert from_row(to_row(entry)) == entry


def test_what_is_not_allowed_gets_no_row():
    with pytest.raises(InvalidRequest, match="unitId"):
        to_row(Unit(organization_id="acme", unit_id="a b", created_at_us=1))


def test_the_first_of_alike_entries_counts_and_organizations_are_in_order():
    later = Unit(organization_id="acme", unit_id="u", created_at_us=9)
    groups = grouped([Site(organization_id="b", site_id="s", created_at_us=1), *ENTRIES, later])
    assert list(groups) == ["acme", "b"]
    assert groups["acme"]["unit"] == {"u": to_row(ENTRIES[2])}


def test_a_refusal_names_the_bound_and_its_setting():
    settings = Settings(registry_sites_max=7)
    assert [room("site", settings, count) for count in (0, 6, 7, 99)] == [7, 1, 0, 0]
    assert room("organization", settings, 0) == 1
    assert "7 sites" in refusal("site", settings).message
    assert "registry_sites_max" in refusal("site", settings).message
