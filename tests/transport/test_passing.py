"""Requests passed on to another worker: the same bytes there and back, and an end whichever side ends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sensorcast.cluster.worker import Worker
from sensorcast.transport.passing import PassedRequests
from sensorcast.wire.engineio import Timing
from tests.transport.asgi import Request, not_found

DEADLINE_S = 30.0
TARGET = "/socket.io/?EIO=4&transport=polling&t=%2Fx&sid=1.abc"
ANSWER = b"HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello"


class Other:
    """The other worker's socket; answers as told, and keeps what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "http-1"
        self.answer = ANSWER
        self.asked = b""
        self.under_way = 0
        self.is_left = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.under_way += 1
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()
            self.under_way -= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked = await reader.readuntil(b"\r\n\r\n")
        reading = asyncio.ensure_future(self._read_on(reader))
        answering = asyncio.ensure_future(self.answering.wait())
        await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
        if self.answering.is_set():
            while not self.asked.endswith((b"\r\n\r\n", b"end")):
                await asyncio.sleep(0.005)
            writer.write(self.answer)
        reading.cancel()
        answering.cancel()

    async def _read_on(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            self.asked += data
        self.is_left.set()


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    with tempfile.TemporaryDirectory(prefix="sensorcast-test-") as folder:
        made = Other(Path(folder))
        server = await asyncio.start_unix_server(made.serve, made.path)
        yield made
        server.close()
        await until(lambda: not made.under_way)


@pytest.fixture
def app(other: Other) -> PassedRequests:
    worker = Worker(index=0, count=3, folder=other.path.parent)
    return PassedRequests(not_found, worker, "/socket.io/", Timing())  # type: ignore[arg-type]


async def ask(app: PassedRequests, target: str = TARGET, **options: object) -> Request:
    async with asyncio.timeout(DEADLINE_S):
        return await Request(target, **options).run(app)  # type: ignore[arg-type]


async def test_a_request_and_its_answer_pass_but_for_what_is_of_a_connection(other: Other, app: PassedRequests) -> None:
    headers = {"cookie": "a=b", "connection": "keep-alive", "upgrade": "x", "origin": "https://a.test"}
    answered = await ask(app, headers=headers)
    assert other.asked == (
        b"GET /socket.io/?EIO=4&transport=polling&t=%2Fx&sid=1.abc HTTP/1.1\r\nhost: server.test\r\ncookie: a=b\r\n"
        b"origin: https://a.test\r\nconnection: close\r\n\r\n"
    )
    assert (answered.status, answered.body) == (200, b"hello")
    assert answered.headers == {"x-a": "b", "content-length": "5"}


async def test_a_body_of_known_length_passes_as_it_is(other: Other, app: PassedRequests) -> None:
    await ask(app, method="POST", body=(b"one", b"two", b"end"), headers={"content-length": "9"})
    assert other.asked.endswith(b"content-length: 9\r\nconnection: close\r\n\r\nonetwoend")


async def test_a_body_in_chunks_passes_in_chunks(other: Other, app: PassedRequests) -> None:
    await ask(app, method="POST", body=(b"one", b"two", b""))
    assert other.asked.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "target",
    [
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/?sid=0.abc",
        "/socket.io/?sid=9.abc",
        "/socket.io/?sid=../http-1",
        "/socket.io/?sid=1.abc&sid=abc",
    ],
)
async def test_what_is_of_no_other_worker_stays_here(other: Other, app: PassedRequests, target: str) -> None:
    assert (await ask(app, target)).headers == {"x-from": "other"}
    assert other.asked == b""


async def test_a_worker_that_is_gone_leaves_the_answer_to_us(app: PassedRequests) -> None:
    assert (await ask(app, "/socket.io/?sid=2.abc")).status == 404


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"a" * 100_000])
async def test_a_worker_that_ends_before_its_answer_leaves_it_to_us(
    other: Other, app: PassedRequests, answer: bytes
) -> None:
    other.answer = answer
    assert (await ask(app)).status == 404


async def test_a_part_of_an_answer_is_never_taken_for_the_whole(other: Other, app: PassedRequests) -> None:
    other.answer = ANSWER[:-2]
    with pytest.raises(RuntimeError, match="ended within its answer"):
        await ask(app)


async def test_a_client_that_leaves_is_seen_to_leave_by_the_other_worker(other: Other, app: PassedRequests) -> None:
    other.answering.clear()
    request = Request(TARGET)
    polling = request.start(app)
    await until(lambda: other.asked)
    request.leave()
    async with asyncio.timeout(DEADLINE_S):
        await polling
        await other.is_left.wait()
    assert not request.answered


async def test_a_worker_that_hangs_is_left_in_time(other: Other) -> None:
    other.answering.clear()
    worker = Worker(index=0, count=3, folder=other.path.parent)
    hasty = PassedRequests(not_found, worker, "/socket.io/", Timing(ping_interval_s=-5, ping_timeout_s=-4.9))  # type: ignore[arg-type]
    assert (await ask(hasty)).status == 404


async def test_beyond_the_bound_nothing_is_passed_on(
    other: Other, app: PassedRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensorcast.transport.passing.UNDER_WAY_MAX", 0)
    assert (await ask(app)).status == 404
    assert other.asked == b""


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not probe():
            await asyncio.sleep(0.005)
