"""The ingest endpoint: every answer of the contract, over a real store and, where it matters, a real HTTP server."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import time
import tracemalloc
from collections.abc import Callable

import apsw
import httpx
import pytest

from sensorcast.auth import KeyRing, new_api_key
from sensorcast.ingest import http
from sensorcast.ingest.http import IngestEndpoint
from sensorcast.metrics import REGISTRY
from sensorcast.pipeline import Pipeline
from sensorcast.settings import Settings
from tests.ingest.door import GOOD, URL, Door, OpenDoor, body, error_of, item
from tests.readings import T0_S, T0_US


@pytest.fixture(params=[False, True], ids=["long way", "short way"])
def short(request: pytest.FixtureRequest) -> bool:
    """Every answer of the contract is the same on both ways."""
    return bool(request.param)


async def test_what_needs_nothing_to_be_waited_for_goes_the_short_way(door: Door, short: bool) -> None:
    for number in range(2):
        assert (await door.post(body(item(number)))).status_code == 200
    await door.post(gzip.compress(GOOD), Content_Encoding="gzip")
    await door.post(GOOD, X_API_Key=new_api_key("acme", "x", 1)[1])
    await door.post(body(item(0)), X_API_Key="")
    await door.post(b" " * 300_000)
    assert door.short_way.taken == (2 if short else 0)


async def test_readings_are_stored_and_answered(door: Door) -> None:
    response = await door.post(body(item(0), item(1, humidity=101), item(2)))
    answer = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert list(answer) == [
        "success",
        "insertedCount",
        "readingIds",
        "alertsTriggered",
        "duplicateCount",
        "rejected",
    ]
    assert (answer["success"], answer["insertedCount"], answer["alertsTriggered"]) == (True, 2, 0)
    assert answer["readingIds"] == [door.sink.streamed[0].id, None, door.sink.streamed[1].id]
    assert answer["rejected"] == [
        {"index": 1, "code": "out_of_range", "message": "humidity must be a number from 0 to 100 (% RH)"}
    ]
    assert await door.stored() == 2


async def test_the_same_request_again_is_all_duplicates(door: Door) -> None:
    first = (await door.post(body(item(0), item(1)))).json()
    again = (await door.post(body(item(0), item(1), item(0, temperature=5)))).json()
    assert again["readingIds"] == [*first["readingIds"], None]
    assert (again["insertedCount"], again["duplicateCount"]) == (0, 2)
    assert [(each["index"], each["code"]) for each in again["rejected"]] == [(2, "conflict")]
    assert len(door.sink.streamed) == 2


async def test_readings_go_to_the_organization_of_the_key(door: Door) -> None:
    other = await door.new_key("other")
    await door.post(body(item(organizationId="acme", organization_id="acme")), X_API_Key=other)
    assert (await door.stored("acme"), await door.stored("other")) == (0, 1)


async def test_the_time_of_arrival_is_the_servers(door: Door) -> None:
    door.now_s = T0_S + 1.25
    await door.post(body(item(receivedAt="2020-01-01T00:00:00Z")))
    assert door.sink.streamed[0].received_at_us == T0_US + 1_250_000


GZIP = {"Content_Encoding": "gzip"}
SMALL = Settings(ingest_body_max_bytes=4096, ingest_inflated_max_bytes=16_384)

REFUSED: dict[str, tuple[bytes, dict[str, str], str]] = {
    "not json": (b"{", {}, "400 malformed: not strict JSON"),
    "nan": (b'{"readings":[{"temperature":NaN}]}', {}, "400 malformed: not strict JSON"),
    "1e400": (b'{"readings":[{"temperature":1e400}]}', {}, "400 malformed: not strict JSON"),
    "lone surrogate": (b'{"readings":[{"unitId":"\\ud800"}]}', {}, "400 malformed: not strict JSON"),
    "not utf-8": (b'{"readings":["\xff"]}', {}, "400 malformed: the body is not UTF-8"),
    "deep": (b'{"readings":' + b"[" * 3_000, {}, "400 malformed: JSON nests deeper than 8 levels"),
    "wrong shape": (b"[]", {}, "400 malformed: the body must be an object"),
    "no items": (b'{"readings":[]}', {}, '400 malformed: "readings" is empty'),
    "empty": (b"", {}, "400 malformed: not strict JSON"),
    "gzip broken": (b"\x1f\x8b" + b"x" * 50, GZIP, "400 malformed: the body is not sound gzip"),
    "gzip cut": (gzip.compress(GOOD)[:-5], GZIP, "400 malformed: the gzip body ends too early"),
    "gzip claimed": (GOOD, GZIP, "400 malformed: the body is not sound gzip"),
    "gzip not claimed": (gzip.compress(GOOD), {}, "400 malformed: the body is not UTF-8"),
    "gzip with junk behind": (gzip.compress(GOOD) + b"junk", GZIP, "400 malformed: the body is not sound gzip"),
    "gzip bomb": (gzip.compress(b" " * 3_000_000), GZIP, "413 too_large: the gzip body inflates to more than 16384"),
    "gzip of noise too long": (
        gzip.compress(GOOD + bytes(range(256)) * 40),
        GZIP,
        "413 too_large: the gzip body inflates more than 20 times (setting ingest_inflate_max_ratio)",
    ),
    "too long": (GOOD + b" " * 5_000, {}, "413 too_large: the body has more than 4096 bytes (setting ingest_body_max"),
    "form": (
        GOOD,
        {"Content_Type": "application/x-www-form-urlencoded"},
        "415 unsupported_media_type: the body must be",
    ),
    "text": (GOOD, {"Content_Type": "text/plain"}, "415 unsupported_media_type: the body must be JSON"),
    "other charset": (GOOD, {"Content_Type": "application/json; charset=utf-16"}, "415 unsupported_media_type"),
    "deflate": (GOOD, {"Content_Encoding": "deflate"}, "415 unsupported_media_type: the body may be sent plain or as"),
    "brotli": (GOOD, {"Content_Encoding": "br"}, "415 unsupported_media_type: the body may be sent plain or as gzip"),
    "gzip twice": (GOOD, {"Content_Encoding": "gzip, gzip"}, "415 unsupported_media_type"),
    "wrong key": (GOOD, {"X_API_Key": "scast_wrong"}, "401 unauthenticated: X-API-Key is not a key of this server"),
    "empty key": (GOOD, {"X_API_Key": ""}, "401 unauthenticated: X-API-Key is not a key of this server"),
    "unknown key": (GOOD, {"X_API_Key": new_api_key("acme", "x", 1)[1]}, "401 unauthenticated: X-API-Key is unknown"),
}


@pytest.mark.parametrize(("content", "headers", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_bad_request_has_its_answer_and_stores_nothing(
    open_door: OpenDoor, content: bytes, headers: dict[str, str], told: str
) -> None:
    small = {"ingest_body_max_bytes": 4096, "ingest_inflated_max_bytes": 16_384}
    if "more than 20 times" in told:
        small = {"ingest_body_max_bytes": 1024, "ingest_inflate_max_ratio": 20}
    door = await open_door(**small)
    assert error_of(await door.post(content, **headers)).startswith(told)
    assert await door.stored() == 0
    assert (await door.post(body(item()))).status_code == 200


ACCEPTED = {
    "no content type": {"Content_Type": ""},
    "charset": {"Content_Type": "application/json; charset=utf-8"},
    "charset in capitals": {"Content_Type": 'Application/JSON;charset="UTF-8"'},
    "identity": {"Content_Encoding": "identity"},
}


@pytest.mark.parametrize("headers", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_headers_are_read_as_the_standard_says(door: Door, headers: dict[str, str]) -> None:
    assert (await door.post(GOOD, **headers)).status_code == 200


async def test_gzip_is_taken(door: Door) -> None:
    many = json.dumps(body(*(item(number) for number in range(1_000)))).encode()
    response = await door.post(gzip.compress(many), Content_Encoding="GZIP")
    assert response.json()["insertedCount"] == 1_000


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_other_methods_are_told_the_right_one(door: Door, method: str) -> None:
    response = await door.client.request(method, URL)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_key_is_needed_exactly_once(door: Door) -> None:
    for keys in ([], [("X-API-Key", door.key)] * 2):
        response = await door.client.post(URL, content=GOOD, headers=keys)
        assert error_of(response) == "401 unauthenticated: send exactly one header X-API-Key"
        assert "www-authenticate" in response.headers


async def test_a_key_in_the_address_is_not_looked_at(door: Door) -> None:
    response = await door.client.post(f"{URL}?X-API-Key={door.key}&key={door.key}", content=GOOD)
    assert response.status_code == 401


async def test_a_revoked_key_ends_within_the_cache_time(door: Door) -> None:
    assert (await door.post(body(item()))).status_code == 200
    await door.store.revoke_key("acme", door.key.split("_")[1], now_us=T0_US)
    door.now_s += door.settings.key_cache_s
    assert error_of(await door.post(body(item()))).startswith("401 unauthenticated: X-API-Key is unknown, revoked")


async def test_a_key_that_sends_too_often_is_told_to_wait(open_door: OpenDoor) -> None:
    door = await open_door(ingest_requests_per_s=0.5, ingest_burst_requests=3)
    statuses = [(await door.post(body(item(number)))).status_code for number in range(4)]
    refused = await door.post(body(item(9)))
    assert statuses == [200, 200, 200, 429]
    assert refused.headers["retry-after"] == "2"
    assert "(setting ingest_requests_per_s)" in error_of(refused)
    other = await door.new_key("acme")
    assert (await door.post(body(item(5)), X_API_Key=other)).status_code == 200
    door.now_s += 2
    assert (await door.post(body(item(6)))).status_code == 200


async def test_a_locked_database_is_unavailable_and_stores_nothing(door: Door) -> None:
    other = apsw.Connection(str(door.path))
    assert (await door.post(body(item(0)))).status_code == 200
    other.execute("BEGIN IMMEDIATE")
    response = await door.post(body(item(1)))
    other.execute("ROLLBACK")
    other.close()
    assert error_of(response) == "503 unavailable: the database is locked by another process"
    assert response.headers["retry-after"] == "1"
    assert (await door.post(body(item(1)))).json()["duplicateCount"] == 0


async def test_a_full_queue_is_unavailable(open_door: OpenDoor) -> None:
    door = await open_door(queue_max_readings=5, queue_max_wait_s=60, store_busy_timeout_ms=30_000)
    other = apsw.Connection(str(door.path))
    other.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.create_task(door.post(body(item(number)))) for number in range(5)]
    while (REGISTRY.get_sample_value("sensorcast_ingest_queue_readings") or 0) < 5:
        await asyncio.sleep(0)
    refused = await door.post(body(item(6)))
    other.execute("ROLLBACK")
    other.close()
    assert error_of(refused).startswith("503 unavailable: the store's queue is full: 5 readings (setting queue_max_re")
    assert refused.headers["retry-after"] == "1"
    assert [response.status_code for response in await asyncio.gather(*waiting)] == [200] * 5


async def test_a_full_disk_is_storage_full(door: Door) -> None:
    pages = await door.store._change(lambda connection: connection.pragma("page_count"))
    await door.store._change(lambda connection: connection.pragma("max_page_count", pages))
    response = await door.post(body(*(item(number) for number in range(1_000))))
    assert error_of(response) == "507 storage_full: the disk of the database is full"
    assert response.headers["retry-after"] == "5"


async def test_a_fault_of_ours_tells_nothing(door: Door) -> None:
    async def broken(_: str) -> None:
        raise RuntimeError("canary inside")

    keys = KeyRing(broken, 5.0, lambda: door.now_s)  # type: ignore[arg-type]
    app = IngestEndpoint(Pipeline(door.store, door.sink, door.registry), keys, door.settings, lambda: door.now_s)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        response = await client.post(URL, content=GOOD, headers={"X-API-Key": door.key})
    assert error_of(response).startswith("500 internal")
    assert "canary" not in response.text


async def test_answers_are_counted_by_status(door: Door) -> None:
    def count(status: str) -> float:
        return REGISTRY.get_sample_value("sensorcast_ingest_requests_total", {"status": status}) or 0.0

    before = count("200"), count("400")
    await door.post(body(item()))
    await door.post(b"{")
    assert (count("200"), count("400")) == (before[0] + 1, before[1] + 1)


@pytest.mark.real_time
async def test_a_body_near_the_largest_never_holds_up_the_loop_for_long(door: Door) -> None:
    names = [f"metric-number-{n}" for n in range(32)]
    items = [item(-at, metrics=dict.fromkeys(names, at * 7 % 9973 / 10)) for at in range(9_000)]
    content = json.dumps(body(*items), separators=(",", ":")).encode()
    assert 7 * 1024 * 1024 < len(content) < 8 * 1024 * 1024
    gaps: list[tuple[float, float]] = []
    watching = asyncio.create_task(watch(gaps))
    answer = await door.post(gzip.compress(content), content_encoding="gzip")
    watching.cancel()
    assert (answer.status_code, answer.json()["insertedCount"]) == (200, 9_000)
    longest_ms, longest_cpu_ms = max(gap_ms for gap_ms, _ in gaps), max(cpu_ms for _, cpu_ms in gaps)
    whole_cpu_ms = cpu_ms_of(lambda: json.loads(content))
    print(
        f"longest hold-up {longest_ms:.0f} ms, of own work {longest_cpu_ms:.0f} ms; all in one go {whole_cpu_ms:.0f} ms"
    )
    # The target is 50 ms with a core of one's own. How fast the machine is, and what else it does, is in the time that
    # passes and less so in the time that is worked; how that compares with decoding all in one go, hardly at all.
    assert longest_cpu_ms < max(150, whole_cpu_ms)
    assert longest_ms < 5_000


async def test_many_large_bodies_at_once_are_unpacked_a_few_at_a_time(open_door: OpenDoor) -> None:
    door = await open_door()
    # Noise, for a body that compresses too well may not inflate to so much.
    content = b'{"readings":["' + secrets.token_hex(400_000).encode() + b'"' + b" " * 7_000_000 + b"]}"
    packed = gzip.compress(content, 1)
    tracemalloc.start()
    answers = await asyncio.gather(*(door.post(packed, Content_Encoding="gzip") for _ in range(40)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {answer.status_code for answer in answers} == {200}
    assert peak_bytes < 40 * len(packed) + 16 * len(content)


async def test_more_large_bodies_than_may_wait_are_refused(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_UNPACKED_WAITING_MAX", 3)
    door = await open_door()
    large = GOOD + b" " * 300_000
    answers = await asyncio.gather(*(door.post(large) for _ in range(20)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert "compressed or large requests" in error_of(refused[0])
    assert {answer.status_code for answer in answers} == {200, 503}
    assert (await door.post(large)).status_code == 200


def cpu_ms_of(work: Callable[[], object]) -> float:
    """How long this thread works on something, in ms."""
    started_s = time.thread_time()
    work()
    return 1e3 * (time.thread_time() - started_s)


async def watch(gaps: list[tuple[float, float]]) -> None:
    """Note how long the loop takes to come back, and how much of that it has worked, in ms."""
    while True:
        started_s, cpu_started_s = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0.001)
        gaps.append((1e3 * (time.perf_counter() - started_s), 1e3 * (time.thread_time() - cpu_started_s)))
