"""Outgoing JSON: literal bytes, order, splitting, strictness."""

from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.model import Reading, format_time
from sensorcast.stream.outgoing import batch_payloads, reading_json, readings_json, time_text
from tests.stream.readings import T0_US, reading

FULL = reading(
    "u1",
    123_456,
    given_id="i",
    device_id="d",
    temperature=-18.5,
    humidity=61.0,
    battery=88,
    signal_strength=-71,
    metrics={"co2": 400.5},
    source="ttn",
    site_id="north",
)


def payloads(*readings: Reading, max_bytes: int = 1_000_000, first_seq: int = 7) -> list[bytes]:
    return list(batch_payloads("u1", readings, max_bytes=max_bytes, next_seq=count(first_seq).__next__))


def test_a_batch_is_these_bytes() -> None:
    assert payloads(FULL) == [
        b'{"unitId":"u1","readings":[{"id":"i","deviceId":"d","temperature":-18.5,"humidity":61.0,"battery":88,'
        b'"signalStrength":-71,"metrics":{"co2":400.5},"recordedAt":"2026-11-18T11:06:40.123456Z",'
        b'"timestamp":"2026-11-18T11:06:40.123456Z","source":"ttn"}],"count":1,"seq":7}'
    ]


def test_a_late_reading_says_so_and_no_other_does() -> None:
    items = json.loads(payloads(reading("u1", 2), reading("u1", 1, late=True))[0])["readings"]
    assert [item.get("late", "absent") for item in items] == [True, "absent"]


def test_absent_values_are_null() -> None:
    [item] = json.loads(payloads(reading(temperature=1.0))[0])["readings"]
    assert [name for name, value in item.items() if value is None] == [
        "deviceId",
        "humidity",
        "battery",
        "signalStrength",
        "metrics",
    ]


def test_a_reading_on_its_own_names_its_unit_and_its_site() -> None:
    alone = json.loads(reading_json(FULL))
    [in_batch] = json.loads(payloads(FULL)[0])["readings"]
    assert alone == {**in_batch, "unitId": "u1", "siteId": "north"}
    assert json.loads(readings_json([FULL, FULL])) == [alone, alone]


def test_no_reading_is_null_and_no_readings_an_empty_list() -> None:
    assert reading_json(None) == b"null"
    assert readings_json([]) == b"[]"


def test_readings_of_a_batch_are_sorted_by_time_late_ones_included() -> None:
    batch = json.loads(payloads(reading("u1", 9), reading("u1", 3), reading("u1", 5))[0])
    assert [each["id"] for each in batch["readings"]] == ["a/u1/3", "a/u1/5", "a/u1/9"]


def test_readings_of_one_moment_keep_their_order_of_arrival() -> None:
    batch = json.loads(payloads(*(reading("u1", 1, given_id=each) for each in "zay"))[0])
    assert [each["id"] for each in batch["readings"]] == ["z", "a", "y"]


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=40), st.integers(1_000, 6_000))
def test_a_large_batch_is_split_in_order_and_loses_nothing(times_us: list[int], max_bytes: int) -> None:
    split = payloads(*(reading("u1", at) for at in times_us), max_bytes=max_bytes)
    batches = [json.loads(each) for each in split]
    recorded = [each["recordedAt"] for batch in batches for each in batch["readings"]]
    assert recorded == [format_time(T0_US + at) for at in sorted(times_us)]
    assert [batch["seq"] for batch in batches] == list(range(7, 7 + len(batches)))
    assert all(batch["count"] == len(batch["readings"]) for batch in batches)
    assert all(len(each) <= max_bytes or batch["count"] == 1 for each, batch in zip(split, batches, strict=True))


def test_the_longest_unit_id_still_fits_its_limit() -> None:
    readings = [reading("u" * 128, at) for at in range(500)]
    for payload in batch_payloads("u" * 128, readings, max_bytes=4_096, next_seq=count(2**53 - 500).__next__):
        assert len(b'42["sensor:readings:batch",]') + len(payload) <= 4_096


def test_a_single_reading_above_the_limit_goes_alone() -> None:
    split = payloads(reading("u1", 1, source="x" * 5_000), reading("u1", 2), max_bytes=4_096)
    assert [json.loads(each)["count"] for each in split] == [1, 1]


def test_nan_leaves_as_null_because_browsers_cannot_parse_it() -> None:
    [item] = json.loads(payloads(reading(temperature=float("nan"), humidity=float("inf")))[0])["readings"]
    assert (item["temperature"], item["humidity"]) == (None, None)


def test_a_lone_surrogate_raises_before_a_number_is_taken() -> None:
    numbers = count(1)
    with pytest.raises(UnicodeEncodeError):
        list(batch_payloads("u1", [reading(source="\ud800")], max_bytes=4_096, next_seq=numbers.__next__))
    assert next(numbers) == 1


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_are_written_as_everywhere_else(epoch_us: int) -> None:
    assert time_text(epoch_us) == format_time(epoch_us)
