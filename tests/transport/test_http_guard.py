"""Heads of requests are bounded before anything of ours sees them: on a real uvicorn, byte by byte where it matters."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from sensorcast.settings import Settings
from sensorcast.transport import http_guard
from sensorcast.transport.http_guard import GuardedHttpProtocol, guarded_http_class
from tests.conformance.wire import Wire
from tests.support.uvicorn import running
from tests.transport.fakes import Server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.real_time]

GET = b"GET / HTTP/1.1\r\nHost: server.test\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of headers and of body bytes."""
    size, more = 0, True
    while more:
        event = await receive()
        size, more = size + len(event.get("body", b"")), event.get("more_body", False)
    text = b"%d headers, %d bytes\n" % (len(scope["headers"]), size)
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    settings = Settings(header_max_bytes=4_096, header_max_count=20, header_timeout_s=0.3, body_timeout_s=0.6)
    async with running(echo, http=guarded_http_class(settings)) as found:
        yield found


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Wire]:
    wire = await Wire.open("127.0.0.1", port)
    yield wire
    wire.abort()


async def asked(port: int, data: bytes) -> bytes:
    """Send a whole request that ends its connection; give the whole answer."""
    async with connection(port) as wire:
        await wire.send(data)
        return await wire.take_all()


async def test_a_head_within_the_limits_is_served(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(GET + b"X-Long: " + b"x" * 3_900 + b"\r\n" + b"X: y\r\n" * 18 + b"\r\n")
        assert await wire.take_through(b"0 bytes\n") is not None


TOO_LARGE = {
    "long target": b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n",
    "endless target": b"GET /" + b"x" * 200_000,
    "long header": GET + b"X: " + b"x" * 5_000 + b"\r\n\r\n",
    "endless header": GET + b"X: " + b"x" * 200_000,
    "endless name of a header": GET + b"x" * 200_000,
    "many bytes in many headers": GET + (b"X: " + b"x" * 500 + b"\r\n") * 10 + b"\r\n",
    "many headers": GET + b"X: y\r\n" * 20 + b"\r\n",
    "many empty headers": GET + b"X:\r\n" * 5_000,
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_a_head_beyond_a_limit_is_refused_by_the_name_of_its_setting(port: int, data: bytes) -> None:
    answer = await asked(port, data)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"settings header_max_bytes, header_max_count" in answer


async def test_a_head_that_grows_in_small_pieces_is_refused_too(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(GET + b"X: ")
        for _ in range(50):
            await wire.send(b"x" * 100)
        assert (await wire.take_all()).startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_http_gets_its_usual_answer(port: int) -> None:
    assert (await asked(port, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "beginning", [b"", b"GET", GET, GET + b"X: y"], ids=["nothing", "method", "lines", "half a line"]
)
async def test_a_head_that_does_not_arrive_in_time_ends_its_connection(port: int, beginning: bytes) -> None:
    started_s = time.monotonic()
    async with connection(port) as wire:
        if beginning:
            await wire.send(beginning)
        assert await wire.take_all() == b""
    assert 0.2 < time.monotonic() - started_s < 3


async def test_dripping_bytes_win_no_time(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(GET)
        dripping = asyncio.create_task(drip(wire))
        started_s = time.monotonic()
        assert await wire.take_all() == b""
        assert time.monotonic() - started_s < 3
        dripping.cancel()


async def drip(wire: Wire, each: bytes = b"x") -> None:
    while True:
        await wire.send(each)
        await asyncio.sleep(0.02)


async def test_a_late_second_head_on_a_kept_connection_ends_it_too(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(GET + b"\r\n")
        await wire.take_through(b"0 bytes\n")
        await wire.send(b"GET / HT")
        assert await wire.take_all() == b""


async def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
        for byte in (b"a", b"b", b"c", b"d"):
            await asyncio.sleep(0.1)
            await wire.send(byte)
        assert await wire.take_through(b"4 bytes\n")


POST = b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "beginning",
    [POST, POST + b"x" * 50, CHUNKED, CHUNKED + b"5\r\nab"],
    ids=["none", "half", "no chunk", "half a chunk"],
)
async def test_a_body_that_does_not_arrive_in_time_ends_its_connection(port: int, beginning: bytes) -> None:
    started_s = time.monotonic()
    async with connection(port) as wire:
        await wire.send(beginning)
        assert await wire.take_all() == b""
    assert 0.5 < time.monotonic() - started_s < 3


async def test_a_dripping_body_wins_no_time(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(POST)
        dripping = asyncio.create_task(drip(wire))
        assert await wire.take_all() == b""
        dripping.cancel()


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer without a look at the body."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_a_refused_request_whose_body_does_not_come_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "UNREAD_BODY_S", 0.2)
    async with running(refuse, http=guarded_http_class(Settings())) as port, connection(port) as wire:
        await wire.send(POST + b"x")
        assert await wire.take_through(b"\r\n\r\n")
        dripping = asyncio.create_task(drip(wire))
        started_s = time.monotonic()
        assert await wire.take_all() == b""
        assert time.monotonic() - started_s < 3
        dripping.cancel()


async def test_a_refused_request_whose_body_comes_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "UNREAD_BODY_S", 0.2)
    async with running(refuse, http=guarded_http_class(Settings())) as port, connection(port) as wire:
        for _ in range(3):
            await wire.send(POST + b"x")
            assert await wire.take_through(b"\r\n\r\n")
            await wire.send(b"x" * 99)
            await asyncio.sleep(0.1)
        assert not wire.ended


async def test_line_breaks_instead_of_the_next_request_end_a_connection(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(GET + b"\r\n")
        assert await wire.take_through(b"0 bytes\n")
        started_s = time.monotonic()
        await wire.send(b"\r\n")
        dripping = asyncio.create_task(drip(wire, b"\r\n"))
        assert await wire.take_all() == b""
        assert time.monotonic() - started_s < 3
        dripping.cancel()


async def test_a_kept_connection_is_not_ended_by_the_time_of_the_request_before(port: int) -> None:
    async with connection(port) as wire:
        for _ in range(4):
            await wire.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
            await asyncio.sleep(0.25)
            await wire.send(b"b")
            assert await wire.take_through(b"2 bytes\n")


async def test_an_upgraded_connection_has_no_time_of_requests() -> None:
    server = Server()
    settings = Settings(header_timeout_s=0.2, body_timeout_s=0.2)
    async with running(echo, http=guarded_http_class(settings), ws=server.websocket_class) as port:
        async with connection(port) as wire:
            await wire.send(
                b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await wire.take_through(b'"maxPayload":100000}')
            await asyncio.sleep(0.4)
            assert not wire.ended
        server.endpoint.close_all()


async def test_a_head_that_begins_behind_a_large_body_is_not_taken_for_a_part_of_it(port: int) -> None:
    async with connection(port) as wire:
        first = b"POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000
        await wire.send(first + GET)
        assert b"200 OK" in await wire.take_through(b"50000 bytes\n")
        await wire.send(b"\r\n")
        assert b"200 OK" in await wire.take_through(b"0 bytes\n")


async def test_a_long_body_is_no_head(port: int) -> None:
    async with connection(port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000)
        assert await wire.take_through(b"500000 bytes\n")


LARGE_BYTES = 2 * 1024 * 1024


async def answer_at_length(scope: Any, receive: Any, send: Any) -> None:
    """Answer with more than any socket takes."""
    headers = [(b"content-length", b"%d" % LARGE_BYTES)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(LARGE_BYTES)})


class Followed(GuardedHttpProtocol):
    """The guard, with its connections kept and with send buffers that do not grow. Bind it with `followed`."""

    guards: ClassVar[list[Followed]]
    is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self.guards.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        super().connection_lost(exc)


def followed(**settings: Any) -> type[Followed]:
    return type("Bound", (Followed,), {"settings": Settings(**settings), "guards": []})


async def answer_until_a_little_is_unsent(scope: Any, receive: Any, send: Any) -> None:
    """End the answer when the socket takes no more, with less unsent than stops a writer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    transport = send.__self__.transport
    while not transport.get_write_buffer_size():
        await send({"type": "http.response.body", "body": bytes(1_024), "more_body": True})
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def silent_peer(port: int, request: bytes) -> Iterator[socket.socket]:
    """Somebody who asks and reads nothing."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.connect(("127.0.0.1", port))
        peer.sendall(request)
        yield peer


async def until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not probe():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("app", "ending"),
    [
        (answer_at_length, b"\r\n"),
        (answer_until_a_little_is_unsent, b"\r\n"),
        (answer_until_a_little_is_unsent, b"Connection: close\r\n\r\n"),
    ],
    ids=["large", "little, kept alive", "little, last"],
)
async def test_a_peer_that_never_reads_its_answer_is_cut(app: Any, ending: bytes) -> None:
    guard = followed(outbound_stall_s=0.3)
    async with running(app, http=guard, timeout_keep_alive=1) as port:
        with silent_peer(port, GET + ending):
            await until(lambda: any(each.is_lost for each in guard.guards))


async def test_a_peer_that_reads_nothing_before_what_is_no_request_is_cut() -> None:
    guard = followed(outbound_stall_s=0.3)
    async with running(answer_until_a_little_is_unsent, http=guard, timeout_keep_alive=300) as port:
        with silent_peer(port, GET + b"\r\n") as peer:
            await until(lambda: any(each.timeout_keep_alive_task for each in guard.guards))
            peer.sendall(b"no request\r\n\r\n")
            await until(lambda: guard.guards[0].is_lost)


async def test_a_peer_that_reads_its_answer_slowly_gets_all_of_it() -> None:
    guard = followed(outbound_stall_s=2)
    async with running(answer_at_length, http=guard, timeout_keep_alive=1) as port:
        loop, until_s = asyncio.get_running_loop(), time.monotonic() + 5
        with silent_peer(port, GET + b"Connection: close\r\n\r\n") as peer:
            peer.setblocking(False)
            count = 0
            while got := await loop.sock_recv(peer, 16_384 if time.monotonic() < until_s else LARGE_BYTES):
                count += len(got)
                await asyncio.sleep(0.1 if time.monotonic() < until_s else 0)
        assert count > LARGE_BYTES


async def test_a_peer_that_has_read_its_answer_is_watched_no_longer() -> None:
    guard = followed(outbound_stall_s=2)
    async with running(answer_at_length, http=guard, timeout_keep_alive=30) as port, connection(port) as wire:
        await wire.send(GET + b"\r\n")
        await wire.take_through(b"\r\n\r\n")
        await wire.take(LARGE_BYTES)
        await until(lambda: guard.guards[0]._reader_timer is None)
        assert not wire.ended
