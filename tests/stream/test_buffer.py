"""The flush buffer: nothing lost, nothing twice, no keys left, bounded and fair when full."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.metrics import BUFFER_SKIPPED
from sensorcast.model import Reading
from sensorcast.stream.buffer import OrganizationReadings, ReadingBuffer, fair_share
from tests.stream.readings import reading, streams_of_readings


def flat(drained: dict[str, OrganizationReadings]) -> list[Reading]:
    return [each for organization in drained.values() for readings in organization.units.values() for each in readings]


def test_a_drain_groups_by_organization_and_unit_in_order_of_arrival() -> None:
    buffer = ReadingBuffer(100)
    late, ours, theirs = reading("u1", 5), reading("u1", 1), reading("u1", 3, org="b")
    for each in (late, ours, theirs):
        buffer.add(each)
    drained = buffer.drain()
    assert {name: dict(each.units) for name, each in drained.items()} == {
        "a": {"u1": [late, ours]},
        "b": {"u1": [theirs]},
    }
    assert {name: (each.organization_id, each.count) for name, each in drained.items()} == {
        "a": ("a", 2),
        "b": ("b", 1),
    }


def test_a_drain_leaves_no_keys_behind() -> None:
    buffer = ReadingBuffer(100)
    buffer.add(reading())
    buffer.drain()
    assert buffer.drain() == {}
    assert buffer.sizes(None) == (0, 0)


def test_sizes_are_kept_apart_by_organization() -> None:
    buffer = ReadingBuffer(100)
    for each in (reading("u1", 1), reading("u1", 2), reading("u2", 3), reading("u1", 1, org="b")):
        buffer.add(each)
    assert buffer.sizes(None) == (4, 3)
    assert (buffer.sizes("a"), buffer.sizes("b"), buffer.sizes("unknown")) == ((3, 2), (1, 1), (0, 0))


@given(streams_of_readings(), st.sets(st.integers(0, 60)))
def test_whenever_it_is_drained_every_reading_comes_out_exactly_once(
    readings: list[Reading], drain_before: set[int]
) -> None:
    buffer = ReadingBuffer(1_000)
    out: list[Reading] = []
    for index, each in enumerate(readings):
        if index in drain_before:
            out += flat(buffer.drain())
        buffer.add(each)
    out += flat(buffer.drain())
    assert Counter(each.id for each in out) == Counter(each.id for each in readings)


@given(streams_of_readings(), st.integers(1, 12))
def test_when_full_it_never_holds_more_than_its_limit_and_counts_what_it_skips(
    readings: list[Reading], limit: int
) -> None:
    skipped_before = BUFFER_SKIPPED._value.get()
    buffer = ReadingBuffer(limit)
    for each in readings:
        buffer.add(each)
        held, keys = buffer.sizes(None)
        assert held <= limit
        assert keys <= held
    drained = buffer.drain()
    kept = [each.id for each in flat(drained)]
    assert len(set(kept)) == len(kept)
    assert sum(each.count for each in drained.values()) == len(kept)
    assert len(kept) + BUFFER_SKIPPED._value.get() - skipped_before == len(readings)
    assert not readings or readings[-1].id in kept


def test_when_full_a_newer_reading_takes_the_place_of_its_units_reading_and_of_nobody_elses() -> None:
    buffer = ReadingBuffer(4)
    for unit in range(4):
        buffer.replace(reading(f"u{unit}"))
    buffer.replace(reading("u1", 5))
    buffer.replace(reading("u2", 6))
    assert {each.id for each in flat(buffer.drain())} == {"a/u0/0", "a/u1/5", "a/u2/6", "a/u3/0"}


def test_a_flood_costs_only_the_organization_that_sends_it() -> None:
    buffer = ReadingBuffer(100)
    for at in range(10):
        buffer.add(reading("quiet", at, org="small"))
    for at in range(1_000):
        buffer.add(reading("loud", at, org="big"))
    drained = buffer.drain()
    assert drained["small"].count == 10
    assert [each.id for each in drained["big"].units["loud"]][-1] == "big/loud/999"


def test_within_an_organization_a_loud_unit_gives_its_oldest_readings_first() -> None:
    organization = OrganizationReadings("a")
    organization.add(reading("quiet", 0))
    for at in range(9):
        organization.add(reading("loud", at))
    organization.keep(5)
    assert [each.id for each in organization.units["quiet"]] == ["a/quiet/0"]
    assert [each.id for each in organization.units["loud"]] == [f"a/loud/{at}" for at in (5, 6, 7, 8)]
    assert organization.count == 5


def test_where_units_outnumber_the_limit_the_newest_units_stay() -> None:
    organization = OrganizationReadings("a")
    for unit in ("u1", "u2", "u3", "u4"):
        organization.add(reading(unit))
    organization.keep(2)
    assert list(organization.units) == ["u3", "u4"]


@pytest.mark.parametrize(
    ("sizes", "budget", "share"),
    [([], 10, 0), ([3, 4], 10, 4), ([1, 100], 10, 9), ([7, 7, 7], 10, 3), ([1, 1, 1], 2, 0), ([5, 1, 9], 11, 5)],
    ids=["nobody", "all fit", "one big", "alike", "too many", "exact"],
)
def test_fair_share_cuts_the_big_and_leaves_the_small(sizes: list[int], budget: int, share: int) -> None:
    assert fair_share(sizes, budget) == share


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(0, 300))
def test_fair_share_is_the_largest_that_fits(sizes: list[int], budget: int) -> None:
    share = fair_share(sizes, budget)
    assert sum(min(size, share) for size in sizes) <= budget
    assert share == max(sizes) or sum(min(size, share + 1) for size in sizes) > budget


def test_a_drain_leaves_those_it_is_told_to_keep() -> None:
    buffer = ReadingBuffer(100)
    for org in "ab":
        buffer.add(reading(org=org))
    assert list(buffer.drain(keep={"b", "unknown"})) == ["a"]
    assert buffer.sizes(None) == (1, 1)
    assert list(buffer.drain()) == ["b"]
