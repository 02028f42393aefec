"""The first read of a connection: plain upgrades go straight to their carrier, all else to HTTP, unchanged."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from sensorcast.settings import Settings
from sensorcast.transport.census import Census
from sensorcast.transport.doorkeeper import Doorkeeper

UPGRADE = b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Successor(asyncio.Protocol):
    made: ClassVar[list[Successor]] = []

    def __init__(self, *_args: Any, **_named: Any) -> None:
        self.seen: list[object] = []
        self.made.append(self)

    network: object = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.seen.append(transport)

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)


class Http(Successor):
    pass


class WebSocket(Successor):
    pass


class FakeTransport:
    def __init__(self) -> None:
        self.protocol: object = None
        self.ended: list[str] = []

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def get_extra_info(self, _name: str) -> object:
        return ("192.0.2.7", 4711)

    def abort(self) -> None:
        self.ended.append("abort")

    def close(self) -> None:
        self.ended.append("close")


class Bound(Doorkeeper):
    settings = Settings(header_timeout_s=0.1, header_max_bytes=1_024, header_max_count=20)
    http_class: Any = Http
    websocket_class: Any = WebSocket
    openings = (b"GET /socket.io/?",)
    census = Census(settings)


@pytest.fixture
async def arrived():
    Successor.made.clear()
    state = SimpleNamespace(connections=set())
    keeper = Bound(None, state, {})
    transport = FakeTransport()
    keeper.connection_made(transport)
    return keeper, transport, state


async def test_plain_upgrade_goes_straight_to_its_carrier(arrived):
    keeper, transport, state = arrived
    keeper.data_received(UPGRADE)
    assert isinstance(transport.protocol, WebSocket)
    assert transport.protocol.seen == [transport, UPGRADE]
    assert state.connections == set()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="a page"),
        pytest.param(UPGRADE.replace(b"/socket.io/", b"/other/"), id="an upgrade elsewhere"),
        pytest.param(UPGRADE[:-2], id="not yet whole"),
        pytest.param(UPGRADE + b"x", id="with something behind it"),
        pytest.param(UPGRADE + UPGRADE, id="two at once"),
        pytest.param(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), id="another version"),
        pytest.param(UPGRADE.replace(b"GET", b"PUT"), id="another method"),
        pytest.param(UPGRADE.replace(b"websocket", b"h2c"), id="another protocol"),
        pytest.param(UPGRADE.replace(b"Host", b"X: " + b"x" * 1_024 + b"\r\nHost"), id="too large"),
        pytest.param(UPGRADE.replace(b"Host", b"X: y\r\n" * 20 + b"Host"), id="too many headers"),
        pytest.param(b"\x16\x03\x01", id="not HTTP at all"),
    ],
)
async def test_anything_in_doubt_goes_to_http_unchanged(arrived, data):
    keeper, transport, _state = arrived
    keeper.data_received(data)
    assert isinstance(transport.protocol, Http)
    assert transport.protocol.seen == [transport, data]


async def test_silent_connection_is_ended_after_the_header_timeout(arrived):
    _keeper, transport, _state = arrived
    async with asyncio.timeout(30):
        while not transport.ended:
            await asyncio.sleep(0.01)
    assert transport.ended == ["abort"]


async def test_connection_that_asked_nothing_ends_with_the_server(arrived):
    keeper, transport, state = arrived
    assert state.connections == {keeper}
    keeper.shutdown()
    keeper.connection_lost(None)
    assert transport.ended == ["close"]
    assert state.connections == set()


class Ways:
    """The way to other workers: takes what names the session `1.abc`, and can give it back."""

    def __init__(self) -> None:
        self.offered: list[tuple[object, bytes, int]] = []
        self.take_back: Any = None

    def destination(self, data: bytes) -> int | None:
        return 1 if b"sid=1.abc" in data else None

    def offer(self, transport: object, data: bytes, index: int, take_back: Any) -> None:
        self.offered.append((transport, data, index))
        self.take_back = take_back


FOREIGN = UPGRADE.replace(b"EIO=4", b"EIO=4&sid=1.abc")


@pytest.fixture
def ways(monkeypatch):
    made = Ways()
    monkeypatch.setattr(Bound, "handover", made)
    return made


async def test_session_of_another_worker_takes_its_connection_there(arrived, ways):
    keeper, transport, state = arrived
    keeper.data_received(FOREIGN)
    assert ways.offered == [(transport, FOREIGN, 1)]
    assert (transport.protocol, Successor.made) == (None, [])
    assert state.connections == {keeper}
    ways.take_back()
    assert isinstance(transport.protocol, WebSocket)
    assert transport.protocol.seen == [transport, FOREIGN]


async def test_session_of_our_own_stays(arrived, ways):
    keeper, transport, _state = arrived
    keeper.data_received(UPGRADE)
    assert ways.offered == []
    assert isinstance(transport.protocol, WebSocket)


async def test_adopted_connection_is_served_here_whatever_it_asks(ways):
    Successor.made.clear()
    transport = FakeTransport()
    Bound(None, SimpleNamespace(connections=set()), {}).adopting(FOREIGN).connection_made(transport)
    assert ways.offered == []
    assert isinstance(transport.protocol, WebSocket)
    assert transport.protocol.seen == [transport, FOREIGN]
