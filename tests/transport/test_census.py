"""Connections are counted from accept to end, and those beyond a cap are refused before they are read: real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sensorcast.http_errors import ANSWER_LINES
from sensorcast.metrics import CONNECTIONS_REFUSED
from sensorcast.settings import Settings
from sensorcast.transport import census
from sensorcast.transport.census import Census
from sensorcast.transport.doorkeeper import doorkeeper_class
from sensorcast.transport.limits import Limits
from sensorcast.transport.server import SocketServer
from tests.conformance.wire import Wire
from tests.support.uvicorn import running

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Door:
    """A server with a doorkeeper, and clients of it."""

    def __init__(self, port: int, counted: Census) -> None:
        self.port = port
        self.census = counted
        self.wires: list[Wire] = []

    async def connect(self, data: bytes = b"") -> Wire:
        wire = await Wire.open("127.0.0.1", self.port)
        self.wires.append(wire)
        if data:
            await wire.send(data)
        return wire

    async def asked(self, data: bytes) -> bytes:
        """Connect, ask, and give the head of the answer."""
        return await (await self.connect(data)).take_through(b"\r\n\r\n")

    async def refused(self) -> bytes:
        """Connect and say nothing: the refusal comes, and the end."""
        return await (await self.connect()).take_all()

    async def expect(self, *, total: int, http: int) -> None:
        async with asyncio.timeout(30):
            while (self.census.open, self.census.http) != (total, http):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def door(**chosen: Any) -> AsyncIterator[Door]:
    settings = Settings(**{"trusted_proxies": ""} | chosen)
    sockets = SocketServer(limits=Limits.from_settings(settings))
    keeper = doorkeeper_class(settings, sockets.websocket_class)
    async with sockets, running(answer, http=keeper, ws=sockets.websocket_class) as port:
        made = Door(port, keeper.census)
        yield made
        for wire in made.wires:
            wire.abort()
        sockets.endpoint.close_all()


def refusals(cap: str) -> float:
    return CONNECTIONS_REFUSED.labels(cap)._value.get()


async def test_one_address_has_so_many_connections_of_any_kind_and_gets_its_place_back() -> None:
    async with door(connections_per_address=3) as at:
        before = refusals("address")
        assert b"101" in await at.asked(UPGRADE)
        assert b"200" in await at.asked(GET)
        await at.connect()
        await at.expect(total=3, http=2)
        found = await at.refused()
        assert found.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"Retry-After: 5\r\n" + ANSWER_LINES in found
        assert b"connections_per_address" in found
        assert refusals("address") == before + 1
        at.wires[0].abort()
        await at.expect(total=2, http=2)
        assert b"101" in await at.asked(UPGRADE)


async def test_a_trusted_proxy_is_not_capped_by_address() -> None:
    async with door(connections_per_address=1, trusted_proxies="127.0.0.1") as at:
        for _ in range(3):
            assert b"200" in await at.asked(GET)


async def test_connections_without_a_websocket_are_capped_and_those_with_one_are_not_among_them() -> None:
    async with door(http_connections_max=2) as at:
        for _ in range(3):
            assert b"101" in await at.asked(UPGRADE)
        await at.connect()
        await at.connect()
        await at.expect(total=5, http=2)
        found = await at.refused()
        assert found.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"http_connections_max" in found


async def test_file_descriptors_are_kept_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "descriptor_share", lambda share: 1)
    async with door() as at:
        await at.connect()
        await at.expect(total=1, http=1)
        assert b"file descriptors" in await at.refused()


async def test_an_upgrade_that_comes_in_pieces_counts_as_a_websocket() -> None:
    async with door() as at:
        wire = await at.connect(UPGRADE[:40])
        await at.expect(total=1, http=1)
        await wire.send(UPGRADE[40:])
        assert b"101" in await wire.take_through(b"\r\n\r\n")
        await at.expect(total=1, http=0)
        wire.abort()
        await at.expect(total=0, http=0)


@pytest.mark.parametrize(
    "data", [b"", b"GET /", b"nonsense\r\n\r\n", GET, UPGRADE, UPGRADE.replace(b"EIO=4", b"EIO=9")],
    ids=["silent", "unfinished", "nonsense", "answered", "websocket", "refused websocket"],
)  # fmt: skip
async def test_nothing_is_left_of_a_connection_that_has_ended(data: bytes) -> None:
    async with door() as at:
        wire = await at.connect(data)
        if data.endswith(b"\r\n\r\n"):
            await wire.take_through(b"\r\n\r\n")
        wire.abort()
        async with asyncio.timeout(30):
            while at.census.open or at.census.networks:
                await asyncio.sleep(0.01)
        assert at.census.http == 0


class Transport:
    """A transport of a peer somewhere."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.written = b""

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 4711, 0, 0) if self.address else ""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None: ...


def test_addresses_of_one_ipv6_network_share_a_cap_and_others_do_not() -> None:
    counted = Census(Settings(connections_per_address=2))
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        assert counted.arrive(Transport(address), 0.0) is not None  # type: ignore[arg-type]
    over = Transport("2001:db8::3")
    assert counted.arrive(over, 0.0) is None  # type: ignore[arg-type]
    assert over.written.startswith(b"HTTP/1.1 429")


def test_peers_without_an_address_are_not_capped_by_it() -> None:
    counted = Census(Settings(connections_per_address=1))
    assert all(counted.arrive(Transport(""), 0.0) for _ in range(3))  # type: ignore[arg-type]
