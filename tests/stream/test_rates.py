"""Rates: wishes rounded to classes, rooms of a class, and what waits for each."""

from __future__ import annotations

import pytest

from sensorcast.model import Room
from sensorcast.stream.rates import FULL_RATE, RATES, Mode, Rate, RatedReadings, rate_for
from tests.stream.readings import reading

EVERY_FIFTH = Rate(5, Mode.ALL)
LATEST_OF_TEN = Rate(10, Mode.LATEST)


@pytest.mark.parametrize(
    ("max_rate_hz", "interval_s", "multiple"),
    [(None, 1, 1), (1, 1, 1), (0.99, 1, 2), (0.2, 1, 5), (0.1, 1, 10), (0.04, 1, 30), (0.001, 1, 60), (3, 0.1, 5)],
)
def test_a_wish_gets_the_fastest_class_that_is_not_faster(
    max_rate_hz: float | None, interval_s: float, multiple: int
) -> None:
    assert rate_for(max_rate_hz, Mode.ALL, interval_s) == Rate(multiple, Mode.ALL)


def test_a_class_knows_its_rate() -> None:
    assert EVERY_FIFTH.rate_hz(0.5) == pytest.approx(0.4)


def test_the_full_rate_has_the_room_itself_and_each_class_a_room_of_its_own() -> None:
    room = Room.unit(reading(), "u1")
    assert FULL_RATE.room(room) is room
    assert len({rate.room(room) for rate in RATES} | {room}) == 12


def test_all_readings_wait_in_the_mode_all() -> None:
    waiting = RatedReadings(100)
    for at in (2, 1):
        waiting.add(EVERY_FIFTH, [reading("u1", at)])
    taken = waiting.take(EVERY_FIFTH, "a")
    assert taken is not None
    assert [each.id for each in taken.units["u1"]] == ["a/u1/2", "a/u1/1"]
    assert waiting.take(EVERY_FIFTH, "a") is None


def test_only_the_newest_waits_in_the_mode_latest_whatever_came_last() -> None:
    waiting = RatedReadings(100)
    waiting.add(LATEST_OF_TEN, [reading("u1", 3), reading("u1", 9), reading("u1", 1)])
    waiting.add(LATEST_OF_TEN, [reading("u1", 4)])
    taken = waiting.take(LATEST_OF_TEN, "a")
    assert taken is not None
    assert [each.id for each in taken.units["u1"]] == ["a/u1/9"]
    assert taken.count == 1


def test_organizations_wait_apart() -> None:
    waiting = RatedReadings(100)
    for org in "ab":
        waiting.add(EVERY_FIFTH, [reading("u1", org=org)])
    waiting.take(EVERY_FIFTH, "a")
    assert list(waiting.organizations(EVERY_FIFTH)) == ["b"]
    assert list(waiting.organizations(LATEST_OF_TEN)) == []


@pytest.mark.parametrize("rate", [EVERY_FIFTH, LATEST_OF_TEN])
def test_what_waits_is_bounded(rate: Rate) -> None:
    waiting = RatedReadings(10)
    for number in range(100):
        waiting.add(rate, [reading(f"u{number}")])
    taken = waiting.take(rate, "a")
    assert taken is not None
    assert 0 < taken.count <= 10
    assert "u99" in taken.units
