"""The latest-reading cache: newest wins in any order, organizations apart, the longest unused leave first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensorcast.metrics import LATEST_EVICTED
from sensorcast.model import Reading
from sensorcast.stream.latest import LatestReadings
from tests.stream.readings import reading, streams_of_readings


def cache_of(*readings: Reading, max_units: int = 100) -> LatestReadings:
    latest = LatestReadings(max_units)
    for each in readings:
        latest.offer(each)
    return latest


def test_late_data_never_moves_the_latest_back() -> None:
    newest = reading("u1", 9)
    assert cache_of(reading("u1", 5), newest, reading("u1", 7)).get("a", "u1") is newest


def test_between_readings_of_one_moment_the_order_of_arrival_does_not_matter() -> None:
    first, second = reading("u1", 5), reading("u1", 5, device_id="d")
    assert cache_of(first, second).get("a", "u1") is second
    assert cache_of(second, first).get("a", "u1") is second


def test_the_same_unit_id_in_two_organizations_is_two_units() -> None:
    ours, theirs = reading("u1", 1), reading("u1", 2, org="b")
    latest = cache_of(ours, theirs)
    assert latest.get("a", "u1") is ours
    assert latest.of("a") == [ours]
    assert latest.of("b") == [theirs]


def test_an_unknown_unit_or_organization_has_no_latest() -> None:
    latest = cache_of(reading("u1"))
    assert latest.get("a", "u2") is None
    assert latest.get("b", "u1") is None
    assert latest.of("b") == []
    assert latest.unit_count("b") == 0


def test_the_unit_longest_unused_leaves_first() -> None:
    latest = cache_of(reading("u1"), reading("u2"), reading("u3"), max_units=3)
    before = LATEST_EVICTED._value.get()
    latest.get("a", "u1")
    latest.offer(reading("u4", org="b"))
    assert [each.unit_id for each in latest.of("a")] == ["u1", "u3"]
    assert (latest.unit_count("a"), latest.unit_count("b"), latest.unit_count(None)) == (2, 1, 3)
    assert LATEST_EVICTED._value.get() == before + 1


def test_late_data_keeps_its_unit_in_use() -> None:
    latest = cache_of(reading("u1", 5), reading("u2"), reading("u1", 1), reading("u3"), max_units=2)
    assert [each.unit_id for each in latest.of("a")] == ["u1", "u3"]


def test_an_organization_whose_last_unit_left_is_forgotten() -> None:
    latest = cache_of(reading("u1"), reading("u1", org="b"), max_units=1)
    assert latest.of("a") == []
    assert list(latest._organizations) == ["b"]


@given(streams_of_readings(), st.randoms())
def test_the_newest_wins_in_any_order(readings: list[Reading], random: st.randoms) -> None:
    shuffled = list(readings)
    random.shuffle(shuffled)
    latest = cache_of(*shuffled)
    expected = {
        each.unit_key: each for each in sorted(readings, key=lambda each: (each.recorded_at_us, each.device_id))
    }
    for organization_id in ("a", "b"):
        assert {each.unit_key: each for each in latest.of(organization_id)} == {
            key: each for key, each in expected.items() if key[0] == organization_id
        }
    assert latest.unit_count(None) == len(expected)


@given(streams_of_readings(), st.integers(1, 4))
def test_the_cache_never_exceeds_its_limit_and_its_two_views_agree(readings: list[Reading], max_units: int) -> None:
    latest = LatestReadings(max_units)
    for each in readings:
        latest.offer(each)
        assert latest.unit_count(None) <= max_units
        assert latest.unit_count("a") + latest.unit_count("b") == latest.unit_count(None)
        assert latest.get(each.organization_id, each.unit_id) is not None
