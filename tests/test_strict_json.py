"""JSON of unknown shape: strict, bounded in depth, and quick to say no."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast import strict_json
from sensorcast.strict_json import JsonError

REFUSED = {
    "nan": b"[NaN]",
    "infinity": b"[-Infinity]",
    "number beyond double": b"[1e400]",
    "lone surrogate": b'["\\ud800"]',
    "lone low surrogate": b'["\\udc00"]',
    "raw surrogate": b'["\xed\xa0\x80"]',
    "not utf-8": b'["\xff"]',
    "utf-16": "[]".encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf[]",
    "raw control character": b'["a\nb"]',
    "trailing comma": b"[1,]",
    "trailing text": b"[] []",
    "leading zero": b"[01]",
    "single quotes": b"['a']",
    "comment": b"[] // no",
    "empty": b"",
    "cut": b'{"a":',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_strict_json_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        strict_json.decode(text, max_depth=8)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'], ids=["arrays", "objects", "both"])
@pytest.mark.parametrize("levels", [9, 500, 100_000])
def test_nesting_beyond_the_limit_is_refused(opening: bytes, levels: int) -> None:
    closing = opening.replace(b'"a":', b"")[::-1].translate(bytes.maketrans(b"[{", b"]}"))
    with pytest.raises(JsonError, match="deeper than 8 levels"):
        strict_json.decode(opening * levels + b"1" + closing * levels, max_depth=8)


def test_nesting_up_to_the_limit_is_taken() -> None:
    assert strict_json.decode(b'[{"a":[{"b":[{"c":[{}]}]}]}]', max_depth=8)


def test_brackets_in_strings_do_not_nest() -> None:
    assert strict_json.decode(b'["[[[[[[[[[[", "\\"{{{{{{{{{{"]', max_depth=8) == ["[[[[[[[[[[", '"{{{{{{{{{{']


@pytest.mark.parametrize(
    "tail", [b'\\"' * 100_000, b'""' * 100_000, b"\\\\" * 100_000], ids=["escaped", "pairs", "slashes"]
)
def test_an_unclosed_string_after_many_brackets_is_refused_at_once(tail: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(JsonError):
        strict_json.decode(b'[[[[[[[[["' + tail, max_depth=8)
    assert time.perf_counter() - started < 10  # it is a millisecond; looking again from each bracket on, minutes


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


_TREES = st.recursive(
    st.text('[]{}"\\ a', max_size=4) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"', max_size=2), inner, max_size=3),
    max_leaves=20,
)


@given(_TREES, st.integers(1, 6))
def test_depth_is_counted_as_written(value: object, max_depth: int) -> None:
    text = json.dumps(value).encode()
    if _depth(value) <= max_depth:
        assert strict_json.decode(text, max_depth=max_depth) == value
    else:
        with pytest.raises(JsonError, match="deeper"):
            strict_json.decode(text, max_depth=max_depth)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": [-float("inf")]}, "\ud800", object()])
def test_what_a_browser_cannot_parse_is_never_encoded(value: object) -> None:
    with pytest.raises(JsonError):
        strict_json.encode(value)


def test_null_is_not_taken_for_nan() -> None:
    assert strict_json.encode({"a": None, "b": 1.5}) == b'{"a":null,"b":1.5}'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"[]", 0),
        (b'{"a":1,"b":{"a":2}}', 3),
        (b'{ "a" : "b" ,\r\n"a"\t:[{"c d":"e: f"}]}', 3),
        (b'{"a":":b"}', 2),
        (b'{"a":"\\""}', None),
    ],
)
def test_names_are_counted_where_no_backslash_makes_it_uncertain(text: bytes, names: int | None) -> None:
    assert strict_json.count_names(text) == names
