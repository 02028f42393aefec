"""Asking the other workers: who answers well and in time is heard, whoever else is left out."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensorcast.cluster.neighbours import Neighbours, connection, read_answer
from sensorcast.cluster.worker import ALONE, Worker

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sensorcast-test-") as name:
        yield Path(name)


ended: dict[int, bool] = {}


async def answering(folder: Path, index: int, answer: bytes, *, hangs: bool = False) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /metrics HTTP/1.1\r\n")
        writer.write(answer)
        if hangs:
            await reader.read()
        writer.close()
        await writer.wait_closed()
        ended[index] = True

    return await asyncio.start_unix_server(serve, folder / f"http-{index}")


async def test_a_worker_alone_asks_nobody() -> None:
    assert await Neighbours(ALONE).ask("/metrics") == {}


async def test_whoever_answers_well_is_heard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorcast.cluster.neighbours.ASK_TIMEOUT_S", 0.5)
    answers = {
        1: GOOD,
        2: b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbody",
        3: GOOD[:-1],
        4: b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        5: b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        6: b"",
    }
    servers = [await answering(folder, index, answer) for index, answer in answers.items()]
    servers.append(await answering(folder, 7, b"", hangs=True))
    assert await Neighbours(Worker(index=0, count=9, folder=folder)).ask("/metrics") == {1: b"body"}
    for server in servers:
        server.close()
    async with asyncio.timeout(30):
        while set(ended) != {*answers, 7}:
            await asyncio.sleep(0.005)


async def test_the_head_of_an_answer_is_read_before_its_body(folder: Path) -> None:
    server = await answering(folder, 1, b"HTTP/1.1 204 No Content\r\nX-A:  b \r\n\r\n")
    async with connection(folder / "http-1") as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = await read_answer(reader)
    assert answer == (204, [(b"x-a", b"b")], 0)
    server.close()


async def test_nobody_there_is_an_error_of_the_system(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with connection(folder / "http-1"):
            raise AssertionError
