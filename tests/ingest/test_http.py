"""The ingest endpoint: every answer of the contract, over a real store and, where it matters, a real HTTP server."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
import uvicorn

from sensorcast.auth import KeyRing, new_api_key
from sensorcast.ingest.http import IngestEndpoint
from sensorcast.metrics import REGISTRY
from sensorcast.model import Reading, format_time
from sensorcast.pipeline import Pipeline
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.readings import T0_S, T0_US

URL = "http://server/api/ingest/readings"


@dataclass
class Sink:
    streamed: list[Reading] = field(default_factory=list)

    def add_reading(self, organization_id: str, reading: Reading) -> None:
        self.streamed.append(reading)


@dataclass
class Door:
    """An endpoint over a store on disk, a key for it, and a clock of its own."""

    path: Path
    settings: Settings
    now_s: float = T0_S
    key: str = ""
    sink: Sink = field(default_factory=Sink)

    async def open(self) -> None:
        self.store = SqliteStore(self.path, self.settings)
        await self.store.open()
        self.key = await self.new_key("acme")
        pipeline = Pipeline(self.store, self.sink)
        keys = KeyRing(self.store.find_key, self.settings.key_cache_s, lambda: self.now_s)
        self.app = IngestEndpoint(pipeline, keys, self.settings, lambda: self.now_s)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app))

    async def new_key(self, organization_id: str) -> str:
        record, text = new_api_key(organization_id, "test", T0_US)
        await self.store.create_key(record)
        return text

    async def post(self, content: Any, **headers: str) -> httpx.Response:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        sent = {"X-API-Key": self.key, "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.client.post(URL, content=raw, headers=sent)

    async def stored(self, organization_id: str = "acme") -> int:
        page = await self.store.readings(organization_id, "u1", start_us=0, end_us=2**62, limit=99_999, cursor=None)
        return len(page.readings)


OpenDoor = Any


@pytest.fixture
async def open_door(tmp_path: Path) -> AsyncIterator[OpenDoor]:
    doors: list[Door] = []

    async def open_one(**settings: Any) -> Door:
        door = Door(tmp_path / "readings.db", Settings(store_busy_timeout_ms=100, **settings))
        await door.open()
        doors.append(door)
        return door

    yield open_one
    for door in doors:
        await door.client.aclose()
        await door.store.close()


@pytest.fixture
async def door(open_door: OpenDoor) -> Door:
    return await open_door()


def item(at_us: int = 0, **fields: Any) -> dict[str, Any]:
    return {"unitId": "u1", "recordedAt": format_time(T0_US + at_us), "temperature": 4.5} | fields


def body(*items: Any) -> dict[str, Any]:
    return {"readings": list(items)}


def error_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) <= {"code", "message", "hint"}
    assert response.headers["content-type"] == "application/json"
    return f"{response.status_code} {error['code']}: {error['message']}"


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
GOOD = json.dumps(body(item())).encode()

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
    assert error_of(await door.post(body(item()))).startswith("401 unauthenticated: X-API-Key is unknown or revoked")


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
    door = await open_door(queue_max_readings=5)
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
    app = IngestEndpoint(Pipeline(door.store, door.sink), keys, door.settings, lambda: door.now_s)
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


async def ask(door: Door, messages: Iterator[dict[str, Any]], **headers: str) -> list[dict[str, Any]]:
    """Drive the endpoint as an ASGI server would, message by message; give what it sent."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(b"x-api-key", door.key.encode()), *((k.encode(), v.encode()) for k, v in headers.items())]
    await door.app({"type": "http", "method": "POST", "headers": pairs}, receive, send)
    return sent


def part(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


async def test_a_body_may_come_in_pieces(door: Door) -> None:
    pieces = [part(GOOD[place : place + 1]) for place in range(len(GOOD))]
    sent = await ask(door, iter([*pieces, part(b"", more=False)]))
    assert sent[0]["status"] == 200


async def test_a_streamed_body_is_read_only_up_to_its_limit(open_door: OpenDoor) -> None:
    door = await open_door(ingest_body_max_bytes=2048)
    pieces = iter([part(b" " * 1024)] * 100)
    sent = await ask(door, pieces)
    assert sent[0]["status"] == 413
    assert len(list(pieces)) == 97


async def test_an_announced_length_beyond_the_limit_is_refused_unread(door: Door) -> None:
    sent = await ask(door, iter([]), **{"content-length": "20000000"})
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("length", ["x", "-1", "+5", "1e3", "9" * 30, ""])
async def test_a_length_that_is_no_number_is_malformed(door: Door, length: str) -> None:
    sent = await ask(door, iter([part(GOOD, more=False)]), **{"content-length": length})
    assert sent[0]["status"] == 400


async def test_a_client_that_leaves_early_gets_no_answer_and_stores_nothing(door: Door) -> None:
    sent = await ask(door, iter([part(GOOD), {"type": "http.disconnect"}]))
    assert sent == []
    assert await door.stored() == 0


@asynccontextmanager
async def served(door: Door) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve the endpoint by uvicorn and give one connection to it."""
    config = uvicorn.Config(door.app, port=0, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()
    server.should_exit = True
    await task


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length"))
    return int(head.split(" ")[1]), await reader.readexactly(int(length.split(":")[1]))


def request(door: Door, content: bytes, **headers: str) -> bytes:
    fields = {"Host": "server", "X-API-Key": door.key, "Content-Length": str(len(content))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + content


@pytest.mark.parametrize(
    ("headers", "size", "status"),
    [
        ({"X-API-Key": "wrong"}, 500_000, 401),
        ({"Content-Type": "text/plain"}, 500_000, 415),
        ({}, 20_000_000, 413),
    ],
    ids=["unknown key", "wrong type", "20 MB"],
)
async def test_a_body_refused_unread_leaves_the_connection_usable(
    door: Door, headers: dict[str, str], size: int, status: int
) -> None:
    async with served(door) as (reader, writer):
        writer.write(request(door, b" " * size, **headers))
        assert (await answer(reader))[0] == status
        writer.write(request(door, GOOD))
        again, content = await answer(reader)
    assert (again, json.loads(content)["insertedCount"]) == (200, 1)


async def test_chunked_bodies_and_pipelined_requests_work(door: Door) -> None:
    chunked = f"POST / HTTP/1.1\r\nHost: x\r\nX-API-Key: {door.key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    async with served(door) as (reader, writer):
        writer.write(chunked + request(door, GOOD) + request(door, b"{"))
        statuses = [(await answer(reader))[0] for _ in range(3)]
    assert statuses == [200, 200, 400]
