"""Slices of a body decode to what the body decodes to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sensorcast.errors import MalformedRequest
from sensorcast.formats import readings_json, slices
from sensorcast.formats.slices import split
from sensorcast.model import format_time
from sensorcast.settings import Settings
from tests.readings import T0_US

ODD = ["", "not an object", {"unitId": "a b"}, {"temperature": 1}, {"unitId": 'quote"\\', "x": [[[{}]]]}]


def decoded(body: bytes) -> list[Any]:
    found = readings_json.decode(body, organization_id="acme", now_us=T0_US, settings=Settings())
    return [repr(item) for item in found]


def items(count: int) -> list[Any]:
    good = [{"unitId": f"u{n}", "recordedAt": format_time(T0_US - n), "temperature": n / 10} for n in range(count)]
    return [item for n, one in enumerate(good) for item in ([one, ODD[n % len(ODD)]] if n % 50 == 0 else [one])]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("beside", [{}, {"gateway": {"name": "x", "more": [1, 2]}}], ids=["alone", "beside others"])
def test_slices_decode_to_what_the_body_decodes_to(
    monkeypatch: pytest.MonkeyPatch, indent: int | None, beside: dict[str, Any]
) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 2_000)
    body = json.dumps({**beside, "readings": items(300)}, indent=indent).encode()
    parts = split(body, Settings())
    assert len(parts) > 5
    assert max(map(len, parts)) < 3_000
    assert [item for part in parts for item in decoded(part)] == decoded(body)


def test_a_small_body_is_left_whole() -> None:
    assert split(b'{"readings":[{}]}', Settings()) == (b'{"readings":[{}]}',)


AMBIGUOUS = {
    "field twice": b'{"readings":[1,2],"readings":[3,4]}',
    "other twice": b'{"a":1,"readings":[1,2],"a":2}',
    "escaped name": b'{"\\u0072eadings":[1,2]}',
    "no readings": b'{"a":[1,2,3,4,5,6]}',
    "no items": b'{"readings":[          ]}',
    "not json": b'{"readings":[1,2,3,4,5,6}',
    "no object": b"[1,2,3,4,5,6,7,8,9]",
    "deep": b'{"readings":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_is_not_certain_is_left_whole(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 4)
    assert split(body, Settings()) == (body,) or body == AMBIGUOUS["deep"]


def test_a_body_that_is_not_utf8_is_refused_at_its_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 4)
    with pytest.raises(MalformedRequest, match="byte 14"):
        split(b'{"readings":["\xff"]}', Settings())


def test_a_body_of_more_items_than_allowed_is_left_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 4)
    body = b'{"readings":[1,2,3,4]}'
    assert split(body, Settings(ingest_max_readings=3)) == (body,)
    many = b'{"readings":[' + b"1," * 200 + b"1]}"
    assert split(many, Settings(ingest_max_readings=2)) == (many,)
