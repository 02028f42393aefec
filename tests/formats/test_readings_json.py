"""Every rule of the reading table, every way in which a body can be wrong, and that neighbours never suffer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.errors import InvalidReading
from sensorcast.model import Reading, format_time, reading_id
from sensorcast.settings import Settings
from tests.formats.bodies import NOW_TEXT, UUID, body, decode, item
from tests.readings import T0_US


def one(**fields: Any) -> Reading | InvalidReading:
    """Decode one item between two good neighbours, which must come out whatever becomes of it."""
    first, found, last = decode(body(item(unitId="a"), item(**fields), item(unitId="z")))
    assert isinstance(first, Reading)
    assert isinstance(last, Reading)
    assert (first.unit_id, last.unit_id) == ("a", "z")
    return found


def good(**fields: Any) -> Reading:
    found = one(**fields)
    assert isinstance(found, Reading), found
    return found


def refused(**fields: Any) -> InvalidReading:
    found = one(**fields)
    assert isinstance(found, InvalidReading)
    return found


def test_a_full_item_becomes_a_reading() -> None:
    assert good(
        id=UUID.upper(),
        unitId="freezer.1:a-b_C",
        deviceId="probe",
        temperature=-18.5,
        humidity=55,
        battery=88,
        signalStrength=-70,
        metrics={"co2 (ppm)": 400, "°": 1.5},
        source="ttn",
        siteId="north:1",
    ) == Reading(
        organization_id="acme",
        unit_id="freezer.1:a-b_C",
        recorded_at_us=T0_US,
        received_at_us=T0_US,
        given_id=UUID,
        device_id="probe",
        temperature=-18.5,
        humidity=55.0,
        battery=88,
        signal_strength=-70,
        metrics={"co2 (ppm)": 400.0, "°": 1.5},
        source="ttn",
        site_id="north:1",
    )


def test_what_is_left_out_is_absent_and_the_source_is_api() -> None:
    found = good()
    absent = (found.device_id, found.humidity, found.battery, found.signal_strength, found.metrics)
    assert absent == (None,) * 5
    assert found.site_id is None
    assert found.source == "api"


def test_null_means_left_out() -> None:
    names = ("id", "deviceId", "humidity", "battery", "signalStrength", "metrics", "source", "siteId")
    assert good(**dict.fromkeys(names)) == good()


def test_an_id_is_derived_from_the_natural_key() -> None:
    assert good().id == reading_id("acme", "u1", None, T0_US)
    assert good(deviceId="d").id == reading_id("acme", "u1", "d", T0_US)


def test_unknown_fields_are_ignored() -> None:
    assert good(extra={"nested": [1, {"a": None}]}, temp=99999) == good()


ACCEPTED: dict[str, dict[str, Any]] = {
    "coldest": {"temperature": -273.15},
    "hottest": {"temperature": 10_000},
    "dry": {"humidity": 0},
    "wet": {"humidity": 100},
    "empty battery": {"battery": 0},
    "full battery": {"battery": 100},
    "weakest signal": {"signalStrength": -200},
    "strongest signal": {"signalStrength": 50},
    "64 metrics": {"metrics": {f"m{number}": number for number in range(64)}},
    "long metric name": {"metrics": {"m" * 128: 1}},
    "odd metric name": {"metrics": {'quote" \\ \u0000 \u2028 __proto__': 1}},
    "huge metric": {"metrics": {"m": 1.7976931348623157e308}},
    "tiny metric": {"metrics": {"m": 5e-324}},
    "empty metrics beside a value": {"metrics": {}},
    "unit of 1": {"unitId": "x"},
    "unit of 128": {"unitId": "x" * 128},
    "unit of odd characters": {"unitId": ".:-_"},
    "only humidity": {"temperature": None, "humidity": 1},
    "only battery": {"temperature": None, "battery": 0},
    "only signal": {"temperature": None, "signalStrength": 0},
    "only metrics": {"temperature": None, "metrics": {"m": 0}},
    "source of 32": {"source": "s" * 32},
}


@pytest.mark.parametrize("fields", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_values_up_to_their_bounds_are_taken(fields: dict[str, Any]) -> None:
    good(**fields)


_NUMBER_FIELDS = ("temperature", "humidity", "battery", "signalStrength")
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "too cold": ({"temperature": -273.16}, "out_of_range", "temperature must be a number from -273.15 to 10000"),
    "too hot": ({"temperature": 10_000.1}, "out_of_range", "temperature"),
    "too dry": ({"humidity": -0.1}, "out_of_range", "humidity must be a number from 0 to 100"),
    "too wet": ({"humidity": 100.1}, "out_of_range", "humidity"),
    "battery below": ({"battery": -1}, "out_of_range", "battery must be an integer from 0 to 100"),
    "battery above": ({"battery": 101}, "out_of_range", "battery"),
    "battery half": ({"battery": 50.5}, "wrong_type", "battery"),
    "signal below": ({"signalStrength": -201}, "out_of_range", "signalStrength must be an integer from -200 to 50"),
    "signal above": ({"signalStrength": 51}, "out_of_range", "signalStrength"),
    "signal half": ({"signalStrength": -70.5}, "wrong_type", "signalStrength"),
    "number beyond double": ({"temperature": 10**400}, "out_of_range", "temperature"),
    "metric beyond double": ({"metrics": {"m": 10**400}}, "out_of_range", "metrics must be an object"),
    "integer beyond 64 bit": ({"battery": 2**70}, "out_of_range", "battery"),
    "65 metrics": (
        {"metrics": {f"m{n}": n for n in range(65)}},
        "out_of_range",
        "metrics must be an object of at most 64",
    ),
    "metric without name": ({"metrics": {"": 1}}, "out_of_range", "metrics"),
    "metric with long name": ({"metrics": {"m" * 129: 1}}, "out_of_range", "metrics"),
    "metric null": ({"metrics": {"m": None}}, "wrong_type", "metrics"),
    "metric text": ({"metrics": {"m": "1"}}, "wrong_type", "metrics"),
    "metric nested": ({"metrics": {"m": {"n": 1}}}, "wrong_type", "metrics"),
    "metrics array": ({"metrics": [1]}, "wrong_type", "metrics"),
    "nothing measured": ({"temperature": None}, "no_values", "at least one of"),
    "empty metrics alone": ({"temperature": None, "metrics": {}}, "no_values", "at least one of"),
    "unit empty": ({"unitId": ""}, "invalid_value", "unitId must be 1-128 characters"),
    "unit of 129": ({"unitId": "x" * 129}, "invalid_value", "unitId"),
    "unit with blank": ({"unitId": "a b"}, "invalid_value", "unitId"),
    "unit with slash": ({"unitId": "a/b"}, "invalid_value", "unitId"),
    "unit with newline behind": ({"unitId": "a\n"}, "invalid_value", "unitId"),
    "unit with newline before": ({"unitId": "\na"}, "invalid_value", "unitId"),
    "unit not ascii": ({"unitId": "küche"}, "invalid_value", "unitId"),
    "unit with nul": ({"unitId": "a\0"}, "invalid_value", "unitId"),
    "unit number": ({"unitId": 5}, "wrong_type", "unitId"),
    "unit null": ({"unitId": None}, "wrong_type", "unitId"),
    "device empty": ({"deviceId": ""}, "invalid_value", "deviceId must be 1-128 characters"),
    "device odd": ({"deviceId": "a%b"}, "invalid_value", "deviceId"),
    "source empty": ({"source": ""}, "invalid_value", "source must be 1-32 characters"),
    "source of 33": ({"source": "s" * 33}, "invalid_value", "source"),
    "site empty": ({"siteId": ""}, "invalid_value", "siteId must be 1-128 characters"),
    "site odd": ({"siteId": "a/b"}, "invalid_value", "siteId"),
    "source odd": ({"source": "<b>"}, "invalid_value", "source"),
    "id empty": ({"id": ""}, "invalid_value", "id must be a UUID"),
    "id without hyphens": ({"id": UUID.replace("-", "")}, "invalid_value", "id must be a UUID"),
    "id in braces": ({"id": "{" + UUID + "}"}, "invalid_value", "id"),
    "id not hexadecimal": ({"id": UUID.replace("e", "g")}, "invalid_value", "id"),
    "id number": ({"id": 1}, "wrong_type", "id"),
    "time null": ({"recordedAt": None}, "wrong_type", "recordedAt must be an RFC 3339 time"),
    "time number": ({"recordedAt": T0_US // 1_000_000}, "wrong_type", "recordedAt"),
} | {
    f"{name} {kind}": ({name: value}, "wrong_type", name)
    for name in _NUMBER_FIELDS
    for kind, value in {"text": "5", "bool": True, "array": [5], "object": {}}.items()
}


@pytest.mark.parametrize(("fields", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_an_item_that_breaks_a_rule_is_refused_alone(fields: dict[str, Any], code: str, words: str) -> None:
    refusal = refused(**fields)
    assert refusal.item_code == code
    assert words in refusal.message


@pytest.mark.parametrize("name", ["unitId", "recordedAt"])
def test_an_item_without_a_required_field_is_refused(name: str) -> None:
    broken = {key: value for key, value in item().items() if key != name}
    found, _ = decode(body(broken, item()))
    assert isinstance(found, InvalidReading)
    assert (found.item_code, found.message.split()[0]) == ("missing_field", name)


@pytest.mark.parametrize("broken", [None, 1, "text", [], [[]], True], ids=str)
def test_an_item_that_is_no_object_is_refused_alone(broken: Any) -> None:
    found, neighbour = decode(body(broken, item()))
    assert isinstance(found, InvalidReading)
    assert found.item_code == "wrong_type"
    assert isinstance(neighbour, Reading)


TIMES = {
    "utc": ("2026-11-18T10:00:00Z", 0),
    "lower case": ("2026-11-18t10:00:00z", 0),
    "blank": ("2026-11-18 10:00:00Z", 0),
    "east": ("2026-11-18T15:30:00+05:30", 0),
    "west": ("2026-11-18T02:00:00-08:00", 0),
    "unknown zone": ("2026-11-18T10:00:00-00:00", 0),
    "milliseconds": ("2026-11-18T10:00:00.001Z", 1_000),
    "microsecond": ("2026-11-18T10:00:00.000001Z", 1),
    "last microsecond": ("2026-11-18T10:00:00.999999Z", 999_999),
    "rounded down": ("2026-11-18T10:00:00.0000014Z", 1),
    "rounded up": ("2026-11-18T10:00:00.999999999Z", 1_000_000),
}


@pytest.mark.parametrize(("text", "micros"), TIMES.values(), ids=TIMES.keys())
def test_times_with_a_zone_are_kept_to_the_microsecond(text: str, micros: int) -> None:
    expected = int(datetime(2026, 11, 18, 10, tzinfo=UTC).timestamp()) * 1_000_000 + micros
    assert good(recordedAt=text).recorded_at_us == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-18T10:00:00",
        "2026-11-18",
        "2026-11-18T10:00Z",
        "2026-11-18T10:00:00.Z",
        "2026-11-18T10:00:00,5Z",
        "2026-11-18T24:00:00Z",
        "2026-11-18T10:00:60Z",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-11-18T10:00:00+24:00",
        "2026-11-18T10:00:00Z ",
        " 2026-11-18T10:00:00Z",
        "18.11.2026 10:00",
        "1795000000",
        "now",
        "",
        "0000-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    refusal = refused(recordedAt=text)
    assert refusal.item_code == "invalid_value"
    assert "recordedAt must be an RFC 3339 time with its zone" in refusal.message


DAYS_30_US = 30 * 86_400 * 1_000_000


@pytest.mark.parametrize("offset_us", [-DAYS_30_US, 300_000_000, 0], ids=["oldest", "newest", "now"])
def test_times_within_the_window_are_taken(offset_us: int) -> None:
    assert good(recordedAt=format_time(T0_US + offset_us)).recorded_at_us == T0_US + offset_us


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (format_time(T0_US - DAYS_30_US - 1), "2592000 s (setting ingest_past_window_s) before"),
        (format_time(T0_US + 300_000_001), "300 s (setting ingest_future_window_s) after"),
        ("1970-01-01T00:00:00Z", "ingest_past_window_s"),
        ("0001-01-01T00:00:00+23:59", "ingest_past_window_s"),
        ("9999-12-31T23:59:59.999999-23:59", "ingest_future_window_s"),
    ],
    ids=["too old", "too new", "epoch", "first moment", "last moment"],
)
def test_times_outside_the_window_are_refused_with_the_setting(text: str, words: str) -> None:
    refusal = refused(recordedAt=text)
    assert refusal.item_code == "time_out_of_window"
    assert words in refusal.message


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 17), timezones=st.timezones()))
def test_no_microsecond_is_lost(moment: datetime) -> None:
    (found,) = decode(body(item(recordedAt=moment.isoformat())), Settings(ingest_past_window_s=10**8))
    assert isinstance(found, Reading)
    assert found.recorded_at_us == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


BETWEEN = '{"unitId":"a","recordedAt":"%s","temperature":1},%%s,{"unitId":"z","recordedAt":"%s","temperature":1}'
BETWEEN = BETWEEN % (NOW_TEXT, NOW_TEXT)
HEAD = f'"unitId":"u1","recordedAt":"{NOW_TEXT}"'
TWICE = {
    "same value": f'{{{HEAD},"temperature":1,"temperature":1}}',
    "other value": f'{{{HEAD},"temperature":1,"temperature":2}}',
    "unit": f'{{{HEAD},"unitId":"u2","temperature":1}}',
    "blanks": f'{{{HEAD},"temperature" : 1, "temperature"\n:\t2}}',
    "escaped": f'{{{HEAD},"temperature":1,"t\\u0065mperature":2}}',
    "metric": f'{{{HEAD},"metrics":{{"m":1,"m":2}}}}',
    "escaped metric": f'{{{HEAD},"metrics":{{"m":1,"\\u006d":2}}}}',
    "null first": f'{{{HEAD},"temperature":null,"temperature":2}}',
    "unknown": f'{{{HEAD},"temperature":1,"x":1,"x":2}}',
    "in unknown": f'{{{HEAD},"temperature":1,"x":{{"a":1,"a":1}}}}',
    "with a colon in a name": f'{{{HEAD},"temperature":1,"metrics":{{"\\":":1}},"temperature":1}}',
}


@pytest.mark.parametrize("twice", TWICE.values(), ids=TWICE.keys())
def test_a_field_named_twice_is_ambiguous(twice: str) -> None:
    first, found, last = decode('{"readings":[' + BETWEEN % twice + "]}")
    assert isinstance(first, Reading)
    assert isinstance(found, InvalidReading)
    assert isinstance(last, Reading)
    assert found.item_code == "duplicate_field"


@pytest.mark.parametrize(
    "text",
    [
        f'{{{HEAD},"metrics":{{"a\\":b":1,"\\"":2}}}}',
        f'{{{HEAD},"temperature":1,"x":"a\\": b"}}',
        f'{{{HEAD},"temperature":1,"x":[{{"a":1}},{{"a":1}}]}}',
        f'{{{HEAD},"metrics":{{"unitId":1,"readings":2}}}}',
    ],
    ids=["quotes in names", "colon in a value", "equal names in different objects", "our names as metrics"],
)
def test_what_looks_like_a_repeated_name_is_none(text: str) -> None:
    assert all(isinstance(found, Reading) for found in decode('{"readings":[' + BETWEEN % text + "]}"))
