"""The quick pass agrees with the careful one about every body, and takes the bodies that senders send."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensorcast.errors import MalformedRequest
from sensorcast.formats import plain_readings
from sensorcast.model import Reading, format_time, reading_id
from tests.formats.bodies import NOW_TEXT, SETTINGS, UUID, body, decode, item
from tests.readings import T0_US

DERIVED = reading_id("acme", "u1", None, T0_US)
VALUES: dict[str, list[Any]] = {
    "unitId": ["u1", "A.b_c:d-9", "x" * 128, "x" * 129, "", "a\nb", "é", 'q"', "b\\", None, 5],
    "recordedAt": [NOW_TEXT, format_time(T0_US - 1), "2026-11-18T01:46:40+02:00", "2020-01-01T00:00:00Z", "now", 5],
    "id": [UUID, UUID.upper(), DERIVED, DERIVED.upper(), "5", None],
    "deviceId": ["d", "d:1", "", "a\nb", "a b", None],
    "temperature": [4.25, -273.15, 0, -300, 1e400, "4", None, True],
    "humidity": [0, 100, 100.5, None],
    "battery": [0, 100, 101, 5.5, None],
    "signalStrength": [-200, 50, 51, None],
    "metrics": [{}, {"a": 1}, {"a": 1, "b c": 2.5}, {"": 1}, {"a": None}, {"a": {}}, None, []],
    "source": ["ttn", "", "x" * 33, None],
    "siteId": ["north", "no rth", None],
    "other": [1, {"temperature": 1}, [{}]],
}
LIKELY = [item(), item(unitId="u2", deviceId="d", metrics={"a": 1.5}), item(id=UUID, humidity=5, source="ttn")]
FIELDS = {name: st.sampled_from(values) for name, values in VALUES.items()}
ITEMS = st.lists(st.sampled_from(LIKELY) | st.fixed_dictionaries({}, optional=FIELDS), max_size=4)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t"), ("\r\n,", ":")])


def outcome(content: bytes) -> object:
    try:
        found = decode(content)
        return [each if isinstance(each, Reading) else (each.item_code, each.message) for each in found]
    except MalformedRequest as exc:
        return exc.message


def careful(content: bytes) -> object:
    with patch.object(plain_readings, "decode", return_value=None):
        return outcome(content)


@given(items=ITEMS, separators=SEPARATORS, is_ascii=st.booleans())
def test_both_ways_say_the_same(items: list[Any], separators: tuple[str, str], is_ascii: bool) -> None:
    content = json.dumps({"readings": items}, separators=separators, ensure_ascii=is_ascii).encode()
    assert outcome(content) == careful(content)


TWICE = [
    b'{"readings":[{"unitId":"u","unitId":"v","recordedAt":"%b","temperature":1}]}',
    b'{"readings":[{"unitId":"u","recordedAt":"%b","temperature":1,"temperature" :2}]}',
    b'{"readings":[{"unitId":"u","recordedAt":"%b","humidity":1,"humidity":null}]}',
    b'{"readings":[{"unitId":"u","recordedAt":"%b","metrics":{"a":1,"a":2}}]}',
    b'{"readings":[],"readings":[{"unitId":"u","recordedAt":"%b","battery":1}]}',
    # One has it twice, the other not at all: as many names as values would be had they once each.
    b'{"readings":[{"unitId":"u","recordedAt":"%b","battery":1,"battery":1},{"unitId":"u","recordedAt":"%b"}]}',
]


@pytest.mark.parametrize("template", TWICE)
def test_what_is_named_twice_is_left_to_the_careful_way(template: bytes) -> None:
    content = template.replace(b"%b", NOW_TEXT.encode())
    assert plain_readings.decode(content, "acme", T0_US, 0, 2**62) is None
    assert outcome(content) == careful(content)


@given(content=st.binary(max_size=60) | st.text(alphabet='{}[]":,\\ readings01', max_size=60).map(str.encode))
@example(content=b'{"readings":[{}]}')
def test_any_bytes_are_the_same_to_both(content: bytes) -> None:
    assert outcome(content) == careful(content)


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("likely", LIKELY)
def test_what_senders_send_is_read_in_one_pass(likely: dict[str, Any], count: int) -> None:
    window = SETTINGS.ingest_past_window_s * 1_000_000
    found = plain_readings.decode(body(*[likely] * count), "acme", T0_US, T0_US - window, T0_US)
    assert found is not None
    assert [type(each) for each in found] == [Reading] * count
    assert found == careful(body(*[likely] * count))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("oldest_us", "newest_us", "is_taken"), [(0, 0, True), (1, 9, False), (-9, -1, False)])
def test_the_ends_of_the_window_are_within(count: int, oldest_us: int, newest_us: int, is_taken: bool) -> None:
    found = plain_readings.decode(body(*[item()] * count), "acme", T0_US, T0_US + oldest_us, T0_US + newest_us)
    assert (found is not None) is is_taken


def test_a_backslash_is_left_to_the_careful_way() -> None:
    content = body(item()).replace(b'"u1"', b'"u\\u0031"')
    assert plain_readings.decode(content, "acme", T0_US, 0, 2**62) is None
    (found,) = decode(content)
    assert isinstance(found, Reading)
    assert found.unit_id == "u1"
