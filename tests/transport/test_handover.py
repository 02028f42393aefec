"""Sockets that go from worker to worker, on real sockets: whole, at most once, and never where nobody is."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sensorcast.cluster.worker import ALONE, Worker
from sensorcast.transport.handover import Handover

DEADLINE_S = 30.0
FIRST = b"GET /socket.io/?EIO=4&transport=polling&sid=1.abc HTTP/1.1\r\nHost: a\r\n\r\n"


class Pair:
    """Two workers that can hand connections to each other, and what arrives at the second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first, self.second = (
            Handover(Worker(index=index, count=2, folder=folder), "/socket.io/") for index in range(2)
        )
        self.adopted: list[tuple[socket.socket, bytes]] = []
        self.taken_back: list[str] = []

    async def adopt(self, connection: socket.socket, data: bytes) -> None:
        self.adopted.append((connection, data))

    def offer(self, transport: asyncio.Transport, data: bytes = FIRST) -> None:
        self.first.offer(transport, data, 1, lambda: self.taken_back.append("back"))

    async def close(self) -> None:
        await self.first.stop()
        await self.second.stop()
        for connection, _ in self.adopted:
            connection.close()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="sensorcast-test-") as folder:
        made = Pair(Path(folder))
        yield made
        await made.close()


@pytest.fixture
async def accepted() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Transport]]:
    """A client, and the server's end of its connection."""
    arrived: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            arrived.set_result(transport)

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    transport = await arrived
    assert isinstance(transport, asyncio.Transport)
    yield reader, writer, transport
    writer.close()
    transport.abort()
    server.close()
    await server.wait_closed()


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not probe():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("first_read", "index"),
    [
        (FIRST, 1),
        (FIRST[:-10], 1),
        (b"POST /socket.io/?sid=1.a HTTP/1.1\r\n", 1),
        (b"GET /socket.io/?sid=%31.a HTTP/1.1\r\n", 1),
        (b"GET /socket.io/?sid=1.a&sid=0.a HTTP/1.1\r\n", None),
        (b"GET /socket.io/?sid=0.a HTTP/1.1\r\n", None),
        (b"GET /socket.io/?sid=7.a HTTP/1.1\r\n", None),
        (b"GET /socket.io/?sid=../1 HTTP/1.1\r\n", None),
        (b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n", None),
        (b"GET /socket.io/?notsid=1.a HTTP/1.1\r\n", None),
        (b"GET /api/stats?sid=1.a HTTP/1.1\r\n", None),
        (b"DELETE /socket.io/?sid=1.a HTTP/1.1\r\n", None),
        (b"GET /socket.io/?sid=1.a", None),
        (b"GET /socket.io/?" + b"a" * 5_000 + b"&sid=1.a HTTP/1.1\r\n", None),
        (b"GET / HTTP/1.1\r\nX: /socket.io/?sid=1.a\r\n", None),
        (b"", None),
    ],
)
def test_only_the_first_request_line_at_our_path_leads_to_a_worker(first_read: bytes, index: int | None) -> None:
    assert Handover(Worker(index=0, count=2), "/socket.io/").destination(first_read) == index
    assert Handover(ALONE, "/socket.io/").destination(first_read) is None


async def test_the_other_worker_gets_the_connection_and_all_that_was_read(pair: Pair, accepted) -> None:
    reader, writer, transport = accepted
    pair.second.start(pair.adopt)
    data = FIRST + bytes(range(256)) * 1_000
    pair.offer(transport, data)
    await until(lambda: pair.adopted)
    connection, first = pair.adopted[0]
    assert first == data
    await until(transport.is_closing)
    await asyncio.get_running_loop().sock_sendall(connection, b"from the second")
    assert await reader.readexactly(15) == b"from the second"
    writer.write(b"more")
    assert await asyncio.get_running_loop().sock_recv(connection, 10) == b"more"
    assert pair.taken_back == []


async def test_where_no_worker_is_the_connection_stays_ours(pair: Pair, accepted) -> None:
    _, _, transport = accepted
    pair.offer(transport)
    await until(lambda: pair.taken_back)
    assert not transport.is_closing()
    assert transport.is_reading()


async def test_a_worker_that_was_killed_leaves_the_connection_to_us(pair: Pair, accepted) -> None:
    _, _, transport = accepted
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(pair.folder / "handover-1"))
    pair.offer(transport)
    await until(lambda: pair.taken_back)


async def test_a_worker_that_hangs_costs_the_connection_in_time(pair: Pair, accepted, monkeypatch) -> None:
    reader, _, transport = accepted
    monkeypatch.setattr("sensorcast.transport.handover.HANDOVER_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(pair.folder / "handover-1"))
        hanging.listen()
        pair.offer(transport)
        await until(transport.is_closing)
    assert await reader.read() == b""
    assert pair.taken_back == []


async def test_too_many_on_their_way_are_dropped(pair: Pair, accepted, monkeypatch) -> None:
    monkeypatch.setattr("sensorcast.transport.handover.UNDER_WAY_MAX", 0)
    _, _, transport = accepted
    pair.offer(transport)
    await until(transport.is_closing)


async def test_an_adoption_that_fails_is_not_said_to_be_taken(pair: Pair, accepted) -> None:
    reader, _, transport = accepted

    async def refuse(connection: socket.socket, data: bytes) -> None:
        connection.close()
        raise OSError("no more descriptors")

    pair.second.start(refuse)
    pair.offer(transport)
    await until(transport.is_closing)
    assert await reader.read() == b""


@pytest.mark.parametrize("nonsense", [b"\0\0\0\5hello", b"\0", b"\xff\xff\xff\xff"])
async def test_nonsense_on_the_socket_leaves_the_receiver_at_work(pair: Pair, accepted, nonsense: bytes) -> None:
    pair.second.start(pair.adopt)
    _, writer = await asyncio.open_unix_connection(pair.folder / "handover-1")
    writer.write(nonsense)
    writer.close()
    pair.offer(accepted[2])
    await until(lambda: pair.adopted)
