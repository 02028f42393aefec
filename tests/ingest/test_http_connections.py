"""The ingest endpoint under a server: bodies in pieces, early ends, connections that stay usable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from tests.ingest.door import GOOD, Door, OpenDoor


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
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
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
