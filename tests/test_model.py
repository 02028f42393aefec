"""Values: ids, times, derived reading ids, and rooms that no id can spell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.model import (
    Device,
    Identity,
    Organization,
    Role,
    Room,
    Site,
    Unit,
    format_time,
    is_valid_id,
    reading_id,
)

IDS = st.text(max_size=12)


def member(organization_id: str) -> Identity:
    return Identity(organization_id=organization_id, subject="somebody", role=Role.VIEWER)


@pytest.mark.parametrize("text", ["a", "fridge-7", "A.b_c:d-9", "x" * 128])
def test_contract_ids_are_valid(text):
    assert is_valid_id(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "a/b", "a\n", "\na", "é", "a\x00", None, 5, b"a", ["a"]])
def test_anything_else_is_no_id(text):
    assert not is_valid_id(text)


@pytest.mark.parametrize(
    ("epoch_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_767_225_600_000_000, "2026-01-01T00:00:00.000000Z"),
    ],
)
def test_times_go_out_in_utc_with_six_digits(epoch_us, text):
    assert format_time(epoch_us) == text


def test_same_natural_key_gives_the_same_id_for_ever():
    assert reading_id("acme", "fridge-7", "probe-1", 1_767_225_600_000_000) == "019b76da-a800-8000-b951-f2922341bf69"


@pytest.mark.parametrize(
    "other",
    [("b", "u", "d", 1), ("a", "v", "d", 1), ("a", "u", "e", 1), ("a", "u", None, 1), ("a", "u", "d", 2)],
)
def test_any_other_natural_key_gives_another_id(other):
    assert reading_id(*other) != reading_id("a", "u", "d", 1)


@given(IDS, IDS, IDS, IDS)
def test_rooms_are_equal_only_for_the_same_organization_and_unit(organization, unit, other_organization, other_unit):
    rooms_equal = Room.unit(member(organization), unit) == Room.unit(member(other_organization), other_unit)
    assert rooms_equal == ((organization, unit) == (other_organization, other_unit))


@given(IDS, IDS, IDS)
def test_rooms_of_different_kinds_are_never_equal(organization, other_organization, part):
    owner, other = member(organization), member(other_organization)
    rooms = [Room.organization(owner), Room.unit(other, part), Room.site(other, part)]
    assert len(set(rooms)) == len(rooms)


def test_id_with_colons_cannot_spell_a_room_of_another_organization():
    assert Room.unit(member("a"), "b:c") != Room.unit(member("a:b"), "c")
    assert Room.organization(member("a:b")) == "org:a%3Ab"


@pytest.mark.parametrize(
    "entry",
    [
        Organization(organization_id="x", created_at_us=1),
        Site(organization_id="acme", site_id="x", created_at_us=1),
        Unit(organization_id="acme", unit_id="x", created_at_us=1),
        Device(organization_id="acme", device_id="x", created_at_us=1),
    ],
)
def test_every_entry_of_the_registry_has_an_id_among_its_kind(entry):
    assert entry.entry_id == "x"
