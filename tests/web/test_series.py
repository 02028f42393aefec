"""Claims about series and samples: small, aligned, checked, and blind to what belongs to others."""

from __future__ import annotations

import pytest

from sensorcast.web.series import bucket_length_us

from .conftest import Door

_SPAN = {"start": "2025-10-09T08:43:20Z", "end": "2025-10-09T08:53:20Z"}
_SERIES = "/api/orgs/acme/units/fridge-a/series"
_SAMPLES = "/api/orgs/acme/samples"


@pytest.mark.parametrize(
    ("span_s", "points", "length_s"),
    [(600, 600, 1), (900, 500, 2), (3_600, 500, 10), (86_400, 500, 300), (7 * 86_400, 500, 1_800), (1, 2_000, 1)],
)
def test_a_bucket_is_the_shortest_good_length_that_fits(span_s: int, points: int, length_s: int) -> None:
    assert bucket_length_us(span_s * 1_000_000, points) == length_s * 1_000_000


@pytest.mark.parametrize("span_s", [1, 59, 61, 86_399, 40 * 86_400, 8_000 * 86_400, 253_402_300_800])
@pytest.mark.parametrize("points", [1, 7, 500, 2_000])
def test_a_span_never_has_more_buckets_than_points(span_s: int, points: int) -> None:
    length_us = bucket_length_us(span_s * 1_000_000, points)
    assert -(-span_s * 1_000_000 // length_us) <= points


async def test_a_series_has_a_value_per_time_and_measure(door: Door) -> None:
    await door.store_readings("fridge-a", [1, 2, 300])
    body = (await door.get(_SERIES, **_SPAN, points="10", measure="temperature")).json()
    assert body == {
        "start": "2025-10-09T08:43:00.000000Z",
        "bucketMs": 60_000,
        "times": [1_759_999_700_000.0, 1_759_999_998_500.0],
        "counts": [1, 2],
        "measures": {"temperature": {"low": [4.5, 4.5], "high": [4.5, 4.5], "mean": [4.5, 4.5]}},
    }


async def test_several_measures_can_be_asked_for_at_once(door: Door) -> None:
    await door.store_readings("fridge-a", [1])
    body = (await door.get(f"{_SERIES}?measure=humidity&measure=metrics.powerW")).json()
    assert body["error"]["message"] == "start is needed"
    query = "&".join(f"{name}={value}" for name, value in _SPAN.items())
    body = (await door.get(f"{_SERIES}?measure=humidity&measure=metrics.powerW&{query}")).json()
    assert body["measures"] == {
        name: {"low": [None], "high": [None], "mean": [None]} for name in ("humidity", "metrics.powerW")
    }


async def test_samples_have_a_value_per_bucket_and_unit(door: Door) -> None:
    await door.store_readings("fridge-a", [1, 400])
    await door.store_readings("theirs", [1], "globex")
    query = "&".join(f"{name}={value}" for name, value in _SPAN.items())
    body = (await door.get(f"{_SAMPLES}?unit=fridge-a&unit=theirs&unit=unknown&points=2&{query}")).json()
    assert body == {
        "start": "2025-10-09T08:40:00.000000Z",
        "bucketMs": 300_000,
        "units": {"fridge-a": [None, 4.5, 4.5]},
    }


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (_SERIES, "points=0"),
        (_SERIES, "points=2001"),
        (_SERIES, "measure=pressure"),
        (_SERIES, "measure=metrics."),
        (_SERIES, "&".join(f"measure=metrics.m{number}" for number in range(17))),
        (_SERIES, "unit=fridge-a"),
        (_SERIES, "points=5&points=6"),
        (_SAMPLES, ""),
        (_SAMPLES, "unit=no%20id"),
        (_SAMPLES, "&".join(f"unit=u{number}" for number in range(201))),
        (_SAMPLES, "points=2000&" + "&".join(f"unit=u{number}" for number in range(200))),
    ],
)
async def test_a_bad_parameter_is_refused_with_422(door: Door, path: str, query: str) -> None:
    span = "&".join(f"{name}={value}" for name, value in _SPAN.items())
    answer = await door.get(f"{path}?{span}&{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


@pytest.mark.parametrize("path", ["units/fridge-a/series", "samples", "units/fridge-a/readings.csv"])
async def test_an_organization_of_others_is_answered_exactly_as_an_unknown_one(door: Door, path: str) -> None:
    await door.store_readings("fridge-a", [1], "globex")
    theirs = await door.get(f"/api/orgs/globex/{path}", **_SPAN)
    unknown = await door.get(f"/api/orgs/nobody/{path}", **_SPAN)
    assert theirs.status_code == 404
    assert (theirs.content, theirs.headers.raw) == (unknown.content, unknown.headers.raw)


@pytest.mark.parametrize("path", [_SERIES, f"{_SAMPLES}?unit=fridge-a"])
async def test_a_bucket_that_would_begin_before_the_first_day_there_is_is_refused(door: Door, path: str) -> None:
    span = {"start": "0001-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z", "points": "7"}
    joint = "&" if "?" in path else "?"
    answer = await door.get(path + joint + "&".join(f"{name}={value}" for name, value in span.items()))
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "start is too early: its bucket would begin before the year 1"
