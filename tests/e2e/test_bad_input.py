"""Bad input against a live server, on each kind of store: each gets its documented answer, its neighbours are stored,
the server goes on.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib

import pytest

from tests.support.server import reading, time_text

NOW_US = time.time_ns() // 1000
DAY_US = 86_400_000_000


def with_value(text: str) -> bytes:
    """A request of one reading whose temperature is written as `text`."""
    return f'{{"readings":[{{"unitId":"u","recordedAt":"{time_text(NOW_US)}","temperature":{text}}}]}}'.encode()


GOOD = json.dumps({"readings": [reading("u")]}).encode()
MIB = 1024 * 1024

WHOLE_BODY = [
    ("empty", b"", {}, 400),
    ("not JSON", b"temperature=4", {}, 400),
    ("cut off", GOOD[:-3], {}, 400),
    ("two documents", GOOD + GOOD, {}, 400),
    ("NaN", with_value("NaN"), {}, 400),
    ("Infinity", with_value("-Infinity"), {}, 400),
    ("leading zero", with_value("01"), {}, 400),
    ("not UTF-8", GOOD.replace(b'"u"', b'"\xff\xfe"'), {}, 400),
    ("UTF-16", GOOD.decode().encode("utf-16"), {}, 400),
    ("lone surrogate", GOOD.replace(b'"u"', rb'"\ud800"'), {}, 400),
    ("deep arrays", b"[" * 100_000, {}, 400),
    ("deep value", with_value("[" * 50 + "]" * 50), {}, 400),
    ("null", b"null", {}, 400),
    ("a list", b"[]", {}, 400),
    ("a number", b"5", {}, 400),
    ("no readings", b"{}", {}, 400),
    ("readings no list", b'{"readings":{}}', {}, 400),
    ("readings null", b'{"readings":null}', {}, 400),
    ("no items", b'{"readings":[]}', {}, 400),
    ("10,001 items", b'{"readings":[' + b"{}," * 10_000 + b"{}]}", {}, 400),
    ("20 MB", b" " * 20 * MIB, {}, 413),
    ("form", GOOD, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("unknown encoding", GOOD, {"Content-Encoding": "br"}, 415),
    ("gzip that is none", GOOD, {"Content-Encoding": "gzip"}, 400),
    ("gzip cut off", gzip.compress(GOOD)[:-9], {"Content-Encoding": "gzip"}, 400),
    ("gzip damaged", gzip.compress(GOOD)[:-8] + b"\0" * 8, {"Content-Encoding": "gzip"}, 400),
    ("deflate called gzip", zlib.compress(GOOD), {"Content-Encoding": "gzip"}, 400),
    ("gzip bomb", gzip.compress(b" " * 50 * MIB), {"Content-Encoding": "gzip"}, 413),
]

ITEMS = [
    ("not an object", 5),
    ("null", None),
    ("no unit", {"recordedAt": time_text(NOW_US), "temperature": 1}),
    ("no time", {"unitId": "u", "temperature": 1}),
    ("no value", {"unitId": "u", "recordedAt": time_text(NOW_US)}),
    ("empty unit", reading("")),
    ("long unit", reading("x" * 129)),
    ("unit with a space", reading("a b")),
    ("unit with a newline", reading("a\n")),
    ("unit with a slash", reading("../a")),
    ("unit of letters beyond ASCII", reading("kühlschrank")),
    ("unit a number", {**reading(), "unitId": 5}),
    ("device bad", reading("u", deviceId="a b", temperature=1)),
    ("colder than possible", reading("u", temperature=-273.16)),
    ("hotter than possible", reading("u", temperature=10_001)),
    ("temperature a text", reading("u", temperature="4.5")),
    ("temperature true", reading("u", temperature=True)),
    ("humidity negative", reading("u", humidity=-0.1)),
    ("humidity above 100", reading("u", humidity=100.1)),
    ("battery above 100", reading("u", battery=101)),
    ("battery not whole", reading("u", battery=50.5)),
    ("signal above 50", reading("u", signalStrength=51)),
    ("signal below -200", reading("u", signalStrength=-201)),
    ("metrics a list", reading("u", metrics=[1])),
    ("metric a text", reading("u", metrics={"a": "b"})),
    ("metrics, 65", reading("u", metrics={f"m{n}": n for n in range(65)})),
    ("time without zone", {**reading(), "recordedAt": "2026-01-01T00:00:00"}),
    ("time a number", {**reading(), "recordedAt": 1_700_000_000}),
    ("time a word", {**reading(), "recordedAt": "yesterday"}),
    ("time that is none", {**reading(), "recordedAt": "2026-02-30T00:00:00Z"}),
    ("time 31 days ago", reading("u", at_us=NOW_US - 31 * DAY_US)),
    ("time in an hour", reading("u", at_us=NOW_US + 3_600_000_000)),
    ("id no UUID", reading("u", id="5", temperature=1)),
]


@pytest.fixture
def organization(organization_on_each_store):
    return organization_on_each_store


@pytest.fixture
def canary(organization, browser_client):
    """A connected client, and the proof at the end that the server still serves it."""
    client = browser_client(organization.server.url, token=organization.viewer_token).connected()
    yield client
    [reading_id] = organization.post(reading("canary")).json()["readingIds"]
    client.wait_for_reading(reading_id)
    assert "disconnect" not in {seen["is"] for seen in client.seen}


def test_body_that_cannot_be_read_is_refused_whole_and_stores_nothing(organization, canary):
    wrong = []
    for name, body, headers, status in WHOLE_BODY:
        answer = organization.post_bytes(body, headers)
        if answer.status_code != status or set(answer.json()["error"]) - {"code", "message", "hint"}:
            wrong.append((name, status, answer.status_code, answer.text[:200]))
    assert wrong == []
    assert organization.get("units").json()["units"] == []


def test_bad_item_is_rejected_alone(organization, canary):
    wrong = []
    for number, (name, item) in enumerate(ITEMS):
        before, after = (reading("good", at_us=NOW_US + 2 * number + place) for place in (0, 1))
        answer = organization.post(before, item, after)
        verdict = answer.json()
        rejected = verdict.get("rejected", [])
        fine = (
            answer.status_code == 200
            and verdict["insertedCount"] == 2
            and [id_ is None for id_ in verdict["readingIds"]] == [False, True, False]
            and [entry["index"] for entry in rejected] == [1]
            and set(rejected[0]) == {"index", "code", "message"}
        )
        if not fine:
            wrong.append((name, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert [unit["unitId"] for unit in organization.get("units").json()["units"]] == ["good"]


def test_number_too_large_for_a_double_never_enters(organization, canary):
    answer = organization.post_bytes(with_value("1e400"))
    assert answer.status_code == 400 or answer.json()["insertedCount"] == 0
    assert organization.get("units").json()["units"] == []


def test_same_reading_with_other_values_is_a_conflict(organization, canary):
    first = reading("u", temperature=1.0)
    organization.post(first)
    verdict = organization.post({**first, "temperature": 2.0}).json()
    assert (verdict["insertedCount"], verdict["readingIds"]) == (0, [None])
    assert [entry["code"] for entry in verdict["rejected"]] == ["conflict"]
    assert organization.get("units/u/latest").json()["temperature"] == 1.0


@pytest.mark.parametrize("key", ["", "nonsense", "scast_a_b_c", "scast_" + "x" * 5_000, "ключ".encode()])
def test_request_without_a_good_key_is_refused(organization, canary, key):
    headers = {"X-API-Key": key} if isinstance(key, str) else {b"X-API-Key": key}
    answer = organization.server.http.post("/api/ingest/readings", content=GOOD, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"


def test_request_without_any_key_is_refused(organization, canary):
    assert organization.server.http.post("/api/ingest/readings", content=GOOD).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/ingest/readings"), ("DELETE", "/api/stats"), ("PUT", "/healthz"), ("BREW", "/")],
)
def test_wrong_method_is_a_client_error(organization, canary, method, path):
    assert 400 <= organization.server.http.request(method, path).status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        "/api/nothing",
        "/nothing",
        "/api/../../etc/passwd",
        "/static/..%2f..%2fpyproject.toml",
        "/%00",
        "/api/orgs//units",
    ],
)
def test_path_that_is_not_there_is_a_client_error(organization, canary, path):
    assert 400 <= organization.server.http.get(path).status_code < 500


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=x", "limit=1e9", "start=yesterday", "end=5x", "cursor=nonsense", "cursor=%00"],
)
def test_bad_query_parameter_is_a_client_error(organization, canary, query):
    organization.post(reading("u"))
    answer = organization.get(f"units/u/readings?{query}")
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["error"]["code"] in {"malformed", "invalid"}
