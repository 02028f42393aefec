"""Claims about the query API: complete, paged, and blind to what belongs to others."""

from __future__ import annotations

import pytest

from .conftest import Door

_UNITS = "/api/orgs/acme/units"


async def test_units_are_listed_by_id_with_their_newest_reading(door: Door) -> None:
    await door.store_readings("fridge-b", [60, 10])
    await door.store_readings("fridge-a", [30])
    body = (await door.get(_UNITS)).json()
    assert [unit["unitId"] for unit in body["units"]] == ["fridge-a", "fridge-b"]
    assert body["units"][1]["latest"]["recordedAt"] == "2025-10-09T08:53:10.000000Z"
    assert "nextCursor" not in body


async def test_a_reading_goes_out_with_every_field_of_the_contract(door: Door) -> None:
    await door.store_readings("fridge-a", [0])
    latest = (await door.get(f"{_UNITS}/fridge-a/latest")).json()
    assert set(latest) == {
        *("id", "unitId", "siteId", "deviceId", "temperature", "humidity", "battery", "signalStrength"),
        *("metrics", "recordedAt", "timestamp", "source"),
    }
    assert (latest["temperature"], latest["humidity"]) == (4.5, None)


async def test_pages_of_units_follow_each_other_without_overlap(door: Door) -> None:
    names = [f"unit-{number:02d}" for number in range(7)]
    for name in names:
        await door.store_readings(name, [1])
    seen, query = [], {"limit": "3"}
    while True:
        body = (await door.get(_UNITS, **query)).json()
        seen.append([unit["unitId"] for unit in body["units"]])
        if "nextCursor" not in body:
            break
        query["cursor"] = body["nextCursor"]
    assert seen == [names[:3], names[3:6], names[6:]]


async def test_history_is_newest_first_within_start_and_end(door: Door) -> None:
    await door.store_readings("fridge-a", range(0, 100, 10))
    body = (
        await door.get(f"{_UNITS}/fridge-a/readings", start="2025-10-09T08:52:30Z", end="2025-10-09T10:53:00+02:00")
    ).json()
    assert [reading["recordedAt"][11:19] for reading in body["readings"]] == ["08:52:50", "08:52:40", "08:52:30"]


async def test_pages_of_history_follow_each_other_without_overlap(door: Door) -> None:
    await door.store_readings("fridge-a", range(7))
    first = (await door.get(f"{_UNITS}/fridge-a/readings", limit="4")).json()
    second = (await door.get(f"{_UNITS}/fridge-a/readings", limit="4", cursor=first["nextCursor"])).json()
    times = [reading["recordedAt"] for reading in first["readings"] + second["readings"]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 7
    assert "nextCursor" not in second


async def test_a_span_without_readings_of_a_known_unit_is_empty_not_unknown(door: Door) -> None:
    await door.store_readings("fridge-a", [0])
    answer = await door.get(f"{_UNITS}/fridge-a/readings", end="2020-01-01T00:00:00Z")
    assert (answer.status_code, answer.json()) == (200, {"readings": []})


@pytest.mark.parametrize("tail", ["readings", "latest"])
@pytest.mark.parametrize("unit", ["unknown", "theirs", "no%20id", "x" * 129])
async def test_an_unknown_unit_and_one_of_others_are_answered_alike(door: Door, tail: str, unit: str) -> None:
    await door.store_readings("theirs", [0], "globex")
    answer = await door.get(f"{_UNITS}/{unit}/{tail}")
    unknown = await door.get(f"{_UNITS}/nobodys/{tail}")
    assert answer.status_code == 404
    assert (answer.content, answer.headers.raw) == (unknown.content, unknown.headers.raw)


@pytest.mark.parametrize("tail", ["", "/fridge-a/readings", "/fridge-a/latest"])
async def test_an_organization_of_others_is_answered_exactly_as_an_unknown_one(door: Door, tail: str) -> None:
    await door.store_readings("fridge-a", [0], "globex")
    theirs = await door.get(f"/api/orgs/globex/units{tail}")
    unknown = await door.get(f"/api/orgs/nobody/units{tail}")
    assert theirs.status_code == 404
    assert (theirs.content, theirs.headers.raw) == (unknown.content, unknown.headers.raw)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "5001"},
        {"limit": "ten"},
        {"limit": "١"},
        {"limit": "1" * 400},
        {"cursor": "not a cursor"},
        {"cursor": "\x00"},
        {"start": "yesterday"},
        {"start": "2025-10-09T08:53:20"},
        {"start": "2025-10-09T08:53:20Z", "end": "2025-10-09T08:53:20Z"},
        {"end": "9999-99-99T00:00:00Z"},
        {"unknown": "1"},
    ],
    ids=str,
)
async def test_a_bad_parameter_is_refused_with_422(door: Door, query: dict[str, str]) -> None:
    await door.store_readings("fridge-a", [0])
    answer = await door.get(f"{_UNITS}/fridge-a/readings", **query)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid"


async def test_a_bad_cursor_of_units_is_refused_with_422(door: Door) -> None:
    assert (await door.get(_UNITS, cursor="no id")).status_code == 422
