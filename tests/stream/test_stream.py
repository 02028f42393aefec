"""The stream as its callers see it: buffer and latest together."""

from __future__ import annotations

import pytest

from sensorcast.stream import SensorStream, StreamStats
from tests.stream.readings import reading


def test_a_reading_is_both_buffered_and_latest() -> None:
    stream, one = SensorStream(), reading()
    stream.add_reading("a", one)
    assert stream.get_latest_reading("a", "u1") is one
    assert stream.drain()["a"].units == {"u1": [one]}


def test_late_data_still_goes_into_the_batch() -> None:
    stream, newest, late = SensorStream(), reading("u1", 9), reading("u1", 3)
    stream.add_reading("a", newest)
    stream.add_reading("a", late)
    assert stream.get_latest_reading("a", "u1") is newest
    assert stream.drain()["a"].units["u1"] == [newest, late]


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
