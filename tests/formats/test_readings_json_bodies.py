"""Bodies as a whole: what is malformed, what is hostile, and that any bytes give results or our error."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.errors import InvalidReading, MalformedRequest
from sensorcast.model import Reading
from sensorcast.settings import Settings
from tests.formats.bodies import NOW_TEXT, UUID, body, decode, item


def good() -> Reading:
    (found,) = decode(body(item()))
    assert isinstance(found, Reading)
    return found


GOOD = json.dumps(item())
MALFORMED: dict[str, tuple[bytes | str, str]] = {
    "empty": ("", "not strict JSON"),
    "blank": ("  ", "not strict JSON"),
    "text": ("hello", "not strict JSON"),
    "cut": ('{"readings":[' + GOOD, "not strict JSON"),
    "trailing comma": ('{"readings":[' + GOOD + ",]}", "not strict JSON"),
    "trailing text": ('{"readings":[' + GOOD + "]}x", "not strict JSON"),
    "two documents": ('{"readings":[' + GOOD + "]}" * 2, "not strict JSON"),
    "single quotes": ("{'readings':[]}", "not strict JSON"),
    "nan": ('{"readings":[{"temperature":NaN}]}', "not strict JSON"),
    "infinity": ('{"readings":[{"temperature":-Infinity}]}', "not strict JSON"),
    "1e400": ('{"readings":[{"temperature":1e400}]}', "not strict JSON"),
    "1e400 in unknown": ('{"readings":[' + GOOD[:-1] + ',"x":-1e400}]}', "not strict JSON"),
    "leading zero": ('{"readings":[{"temperature":01}]}', "not strict JSON"),
    "lone surrogate": ('{"readings":[{"unitId":"\\ud800"}]}', "not strict JSON"),
    "lone surrogate in unknown": ('{"readings":[' + GOOD[:-1] + ',"x":"\\udfff"}]}', "not strict JSON"),
    "lone surrogate as name": ('{"readings":[' + GOOD[:-1] + ',"\\ud800":1}]}', "not strict JSON"),
    "raw control character": ('{"readings":[{"unitId":"a\nb"}]}', "not strict JSON"),
    "not utf-8": (b'{"readings":[{"unitId":"\xff"}]}', "not UTF-8 at byte 24"),
    "not utf-8 in unknown": (b'{"readings":[' + GOOD[:-1].encode() + b',"x":"\xc3("}]}', "not UTF-8"),
    "raw surrogate": (b'{"readings":[{"unitId":"\xed\xa0\x80"}]}', "not UTF-8"),
    "utf-16": ('{"readings":[]}'.encode("utf-16"), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + body(item()), "not strict JSON"),
    "array": ("[]", 'an object with an array "readings"'),
    "bare array of readings": (f"[{GOOD}]", 'an object with an array "readings"'),
    "bare reading": (GOOD, 'an object with an array "readings"'),
    "null": ("null", 'an object with an array "readings"'),
    "number": ("1", 'an object with an array "readings"'),
    "no readings": ("{}", 'an object with an array "readings"'),
    "readings null": ('{"readings":null}', 'an object with an array "readings"'),
    "readings object": ('{"readings":{}}', 'an object with an array "readings"'),
    "other case": ('{"Readings":[' + GOOD + "]}", 'an object with an array "readings"'),
    "no items": ('{"readings":[]}', "at least one reading"),
    "too many": (body(*[item()] * 21), "21 items; the most in one request is 20 (setting ingest_max_readings)"),
    "too many, all bad": (body(*[1] * 21), "setting ingest_max_readings"),
    "too deep": ('{"readings":[' + "[" * 7 + "]" * 7 + "]}", "deeper than 8 levels (depth: setting json_max_depth)"),
    "far too deep": ('{"readings":' + "[" * 500_000, "deeper than 8 levels"),
    "far too deep, closed": ('{"readings":' + "[" * 5_000 + "]" * 5_000 + "}", "deeper than 8 levels"),
    "readings twice": ('{"readings":[' + GOOD + '],"readings":[' + GOOD + "]}", "names a field twice"),
    "readings twice, escaped": ('{"readings":[' + GOOD + '],"r\\u0065adings":[' + GOOD + "]}", "names a field twice"),
    "other field twice": ('{"a":1,"a":2,"readings":[' + GOOD + "]}", "names a field twice"),
    "in another field twice": ('{"a":{"b":1,"b":2},"readings":[' + GOOD + "]}", "names a field twice"),
    "integer of a million digits": ('{"readings":[{"temperature":' + "9" * 1_000_000 + "}]}", "not strict JSON"),
}


@pytest.mark.parametrize(("text", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_body_that_is_wrong_as_a_whole_is_malformed(text: bytes | str, words: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode(text)
    assert words in caught.value.message


def test_fields_beside_readings_are_ignored() -> None:
    assert decode(json.dumps({"version": 1, "readings": [item()], "gateway": {"a": [1]}})) == [good()]


def test_the_most_readings_allowed_are_taken_in_order() -> None:
    found = decode(body(*(item(unitId=f"u{number}") for number in range(20))))
    assert [each.unit_id for each in found if isinstance(each, Reading)] == [f"u{number}" for number in range(20)]


def test_bad_items_keep_their_places() -> None:
    found = decode(body(item(), item(battery=-1), item(), 5, item(unitId="x y")))
    assert [isinstance(each, Reading) for each in found] == [True, False, True, False, False]


def test_pretty_printed_and_compact_bodies_mean_the_same() -> None:
    document = {"readings": [item(metrics={"a": 1, "b": 2}), item(unitId="u2", battery=5)]}
    compact = json.dumps(document, separators=(",", ":"))
    assert decode(json.dumps(document, indent=4)) == decode(compact) == decode(compact + "\n")


HOSTILE = {
    "empty arrays": b'{"readings":[' + b"[]," * 2_600_000 + b"1]}",
    "numbers": b'{"readings":[' + b"1," * 4_000_000 + b"1]}",
    "deep": b'{"readings":' + b"[" * 8_000_000,
    "quotes": b'{"readings":[[[[[[[[[[["' + b'""' * 4_000_000,
    "escapes": b'{"readings":[[[[[[[[[[["' + b'\\"' * 4_000_000,
    "backslashes": b'{"readings":[[[[[[[[[[["' + b"\\\\" * 4_000_000,
    "blanks": b" " * 8_000_000,
    "colons": b'{"readings":["' + b":" * 8_000_000 + b'"]}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_largest_hostile_bodies_are_judged_in_seconds(text: bytes) -> None:
    started_s = time.thread_time()
    with contextlib.suppress(MalformedRequest):
        assert isinstance(decode(text)[0], InvalidReading)
    assert time.thread_time() - started_s < 15


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    [
        "unitId",
        "deviceId",
        "recordedAt",
        "id",
        "temperature",
        "humidity",
        "battery",
        "signalStrength",
        "metrics",
        "source",
    ]
)
_VALUES = _JSON | st.sampled_from([NOW_TEXT, UUID, "u1", 5, 4.5, {"m": 1}, {"m": None}, 1e308, -0.0, 2**64])
_ITEMS = st.dictionaries(_NAMES, _VALUES).map(lambda fields: {"unitId": "u", "recordedAt": NOW_TEXT} | fields) | _JSON


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_our_error(text: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode(text)


@given(st.lists(_ITEMS, min_size=1, max_size=5), st.booleans())
def test_any_items_give_one_result_each_or_our_error(items: list[Any], escaped: bool) -> None:
    text = json.dumps({"readings": items}, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        found = decode(text, Settings(json_max_depth=64))
    except MalformedRequest:
        return
    assert len(found) == len(items)
    for each in found:
        assert isinstance(each, Reading | InvalidReading)


@given(st.lists(_ITEMS, min_size=1, max_size=3), st.integers(0, 400), st.binary(max_size=3))
def test_damaged_bodies_give_results_or_our_error(items: list[Any], place: int, junk: bytes) -> None:
    text = json.dumps({"readings": items}).encode()
    place %= len(text)
    with contextlib.suppress(MalformedRequest):
        decode(text[:place] + junk + text[place + len(junk) :], Settings(json_max_depth=64))


@given(st.lists(_ITEMS, min_size=1, max_size=4))
def test_the_quick_and_the_careful_path_agree(items: list[Any]) -> None:
    """An unknown field beside the readings leads to the careful path; it must change nothing."""

    def outcome(document: dict[str, Any]) -> Any:
        try:
            found = decode(json.dumps(document), Settings(json_max_depth=64))
        except MalformedRequest as exc:
            return exc.message.split(" ")[0]
        return [each if isinstance(each, Reading) else each.message for each in found]

    assert outcome({"readings": items}) == outcome({"readings": items, "x": 1})
