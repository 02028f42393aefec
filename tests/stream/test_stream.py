"""The stream as its callers see it: buffer and latest together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.model import Reading
from sensorcast.stream import SensorStream, StreamStats
from tests.stream.readings import reading, streams_of_readings


def test_a_reading_is_both_buffered_and_latest() -> None:
    stream, one = SensorStream(), reading()
    stream.add_reading("a", one)
    assert stream.get_latest_reading("a", "u1") is one
    assert stream.drain()["a"].units == {"u1": [one]}


def test_late_data_goes_into_the_batch_marked_and_never_moves_latest_back() -> None:
    stream, newest = SensorStream(), reading("u1", 9)
    stream.add_reading("a", newest)
    stream.drain()
    stream.add_reading("a", reading("u1", 3))
    assert stream.get_latest_reading("a", "u1") is newest
    assert stream.drain()["a"].units["u1"] == [reading("u1", 3, late=True)]


def test_out_of_order_within_one_flush_is_not_late() -> None:
    stream, flushed, newest = SensorStream(), reading("u1", 5), reading("u1", 9)
    stream.add_reading("a", flushed)
    stream.drain()
    for each in (newest, reading("u1", 7), reading("u1", 5, device_id="d2"), reading("u1", 4)):
        stream.add_reading("a", each)
    assert stream.get_latest_reading("a", "u1") is newest
    assert [(each.recorded_at_us - flushed.recorded_at_us, each.late) for each in stream.drain()["a"].units["u1"]] == [
        (4, False),
        (2, False),
        (0, False),
        (-1, True),
    ]


def test_a_unit_seen_for_the_first_time_has_nothing_to_be_late_for() -> None:
    stream = SensorStream()
    for at_us in (9, 1, 5):
        stream.add_reading("a", reading("u1", at_us))
    assert [each.late for each in stream.drain()["a"].units["u1"]] == [False, False, False]


def test_a_reading_older_than_what_was_warmed_is_late_however_busy_its_unit_is() -> None:
    stream = SensorStream()
    stream.warm([reading("u1", 5)])
    for at_us in (9, 3):
        stream.add_reading("a", reading("u1", at_us))
    assert [each.late for each in stream.drain()["a"].units["u1"]] == [False, True]


@given(streams_of_readings(), st.sets(st.integers(0, 60)))
def test_no_batch_has_a_reading_older_than_an_earlier_batch_unless_it_is_late(
    readings: list[Reading], drain_before: set[int]
) -> None:
    stream, newest_flushed = SensorStream(), dict[tuple[str, str], int]()
    for index, each in enumerate(readings):
        if index in drain_before:
            check_drain(stream, newest_flushed)
        stream.add_reading(each.organization_id, each)
    check_drain(stream, newest_flushed)


def check_drain(stream: SensorStream, newest_flushed: dict[tuple[str, str], int]) -> None:
    batches = [batch for organization in stream.drain().values() for batch in organization.units.values()]
    for batch in batches:
        flushed_us = newest_flushed.get(batch[0].unit_key, 0)
        assert [each.late for each in batch] == [each.recorded_at_us < flushed_us for each in batch]
        newest_flushed[batch[0].unit_key] = max(flushed_us, *(each.recorded_at_us for each in batch))


def test_two_devices_that_measure_at_once_are_both_on_time() -> None:
    stream = SensorStream()
    for device in ("d2", "d1"):
        stream.add_reading("a", reading("u1", 1, device_id=device))
    assert [each.late for each in stream.drain()["a"].units["u1"]] == [False, False]


def backfilled(*, per_flush: int, old: dict[str, int]) -> SensorStream:
    """A stream to which each organization sent so many old readings of its unit `old`."""
    stream = SensorStream(late_per_flush=per_flush)
    for org, count in old.items():
        stream.warm([reading("old", 1_000_000, org=org)])
        for at_us in range(count):
            stream.add_reading(org, reading("old", at_us, org=org))
    return stream


def test_a_backfill_leaves_in_portions_behind_what_is_on_time() -> None:
    stream = backfilled(per_flush=100, old={"a": 250})
    sizes = []
    for flush in range(4):
        stream.add_reading("a", reading("live", flush))
        units = stream.drain()["a"].units
        assert next(iter(units)) == "live"
        sizes.append(len(units.get("old", ())))
    assert sizes == [100, 100, 50, 0]


def test_backfills_share_a_portion_and_a_small_one_does_not_wait_for_a_large_one() -> None:
    stream = backfilled(per_flush=100, old={"a": 5_000, "b": 30})
    assert {org: drained.count for org, drained in stream.drain().items()} == {"a": 70, "b": 30}


def test_what_waits_of_a_backfill_is_bounded() -> None:
    stream = SensorStream(buffer_max_readings=100)
    stream.warm([reading("u1", 1_000_000)])
    for at_us in range(5_000):
        stream.add_reading("a", reading("u1", at_us))
    assert stream.stats().buffered_readings <= 100


def test_the_last_drain_leaves_nothing_of_a_backfill() -> None:
    stream = backfilled(per_flush=1, old={"a": 50})
    assert stream.drain(last=True)["a"].count == 50
    assert stream.drain() == {}


def test_late_readings_of_those_to_keep_stay() -> None:
    stream = backfilled(per_flush=100, old={"a": 5, "b": 5})
    assert set(stream.drain(keep={"a"})) == {"b"}
    assert stream.drain()["a"].count == 5


def test_draining_leaves_the_latest_readings() -> None:
    stream, one = SensorStream(), reading()
    stream.add_reading("a", one)
    stream.drain()
    assert stream.latest_of("a") == [one]


def test_warm_readings_are_latest_but_never_flushed() -> None:
    stream, one = SensorStream(), reading()
    stream.warm([one])
    assert stream.latest_of("a") == [one]
    assert stream.drain() == {}


def test_a_reading_of_another_organization_is_refused_and_leaves_no_trace() -> None:
    stream = SensorStream()
    with pytest.raises(ValueError, match="another organization"):
        stream.add_reading("b", reading(org="a"))
    assert stream.stats() == StreamStats(buffered_readings=0, buffer_keys=0, cached_units=0)


def test_stats_of_an_organization_hold_nothing_of_another() -> None:
    stream = SensorStream()
    for each in (reading("u1", 1), reading("u1", 2), reading("u2"), reading("u1", org="b")):
        stream.add_reading(each.organization_id, each)
    assert stream.stats("a") == StreamStats(buffered_readings=3, buffer_keys=2, cached_units=2)
    assert stream.stats("b") == StreamStats(buffered_readings=1, buffer_keys=1, cached_units=1)
    assert stream.stats() == StreamStats(buffered_readings=4, buffer_keys=3, cached_units=3)
