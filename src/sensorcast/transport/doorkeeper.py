"""The first read of every TCP connection: a WebSocket upgrade goes straight to its carrier, all else to HTTP.

Owns a connection until its first bytes. uvicorn would build its HTTP protocol, parse the head, write it out again and
hand it over; for a dashboard that only ever upgrades, that was a third of the cost of connecting. The invariant: only a
head that is whole, alone, within the limits of heads and plainly an upgrade at one of our paths takes the short way; in
any doubt the bytes go to uvicorn unchanged, which comes to the same carrier or to an error of its own.
A connection beyond the caps of the census is refused before anything is read; one that begins with a request of another
worker's session goes to that worker.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, Self, cast

from sensorcast.metrics import HTTP_CONNECTIONS
from sensorcast.settings import Settings
from sensorcast.transport.census import Census, Network
from sensorcast.transport.handover import Handover
from sensorcast.transport.http_guard import GuardedHttpProtocol, guarded_http_class
from sensorcast.transport.short_way import ShortWay
from sensorcast.transport.websocket import WebSocketCarrier

_END: Final = b"\r\n\r\n"
_UPGRADE: Final = b"\r\nupgrade: websocket\r\n"


class Doorkeeper(asyncio.Protocol):
    """What uvicorn makes for a new connection. Bind it with `doorkeeper_class`."""

    __slots__ = ("_app_state", "_config", "_first", "_loop", "_network", "_server_state", "_timer", "_transport")
    settings: ClassVar[Settings]
    census: ClassVar[Census]
    handover: ClassVar[Handover | None] = None
    """The way to the other workers; None when there are none."""
    http_class: ClassVar[type[GuardedHttpProtocol]]
    websocket_class: ClassVar[type[WebSocketCarrier]]
    openings: ClassVar[tuple[bytes, ...]]
    """What the head of an upgrade at one of our paths begins with."""

    def __init__(
        self, config: Any, server_state: Any, app_state: Any, _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, None)
        self._network: Network | None = None
        self._timer = cast(asyncio.TimerHandle, None)
        self._first: bytes | None = None

    def adopting(self, first: bytes) -> Self:
        """Take a connection over of which another worker has read this already; it stays here, whatever it asks."""
        self._first = first
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._network = self.census.arrive(self._transport, self._loop.time())
        if self._network is None:
            return
        self._server_state.connections.add(self)
        self._timer = self._loop.call_later(self.settings.header_timeout_s, self._transport.abort)
        if self._first is not None:
            self._admit(self._first)

    def data_received(self, data: bytes) -> None:
        if self.handover is not None and (destination := self.handover.destination(data)) is not None:
            self._timer.cancel()
            self.handover.offer(self._transport, data, destination, lambda: self._admit(data))
        else:
            self._admit(data)

    def _admit(self, data: bytes) -> None:
        self._leave()
        successor: WebSocketCarrier | GuardedHttpProtocol
        if self._is_upgrade(data):
            successor = self.websocket_class(self._config, self._server_state, self._app_state)
            if self._network is not None:
                self._network.upgraded()
        else:
            successor = self.http_class(
                config=self._config, server_state=self._server_state, app_state=self._app_state, _loop=self._loop
            )
        successor.network = self._network
        successor.connection_made(self._transport)
        self._transport.set_protocol(successor)
        successor.data_received(data)

    def _is_upgrade(self, data: bytes) -> bool:
        return (
            data.startswith(self.openings)
            and len(data) <= self.settings.header_max_bytes
            and data.find(_END) == len(data) - len(_END)
            and data.count(b"\r\n") <= self.settings.header_max_count
            and data.find(b" HTTP/1.1\r\n") == data.find(b"\r\n") - len(b" HTTP/1.1")
            and _UPGRADE in data.lower()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self._network is not None:
            self._leave()
            self._network.left_http()

    def _leave(self) -> None:
        self._timer.cancel()
        self._server_state.connections.discard(self)

    def shutdown(self) -> None:
        """Called by uvicorn when it stops: nothing was asked yet, so nothing is owed."""
        self._transport.close()


def doorkeeper_class(
    settings: Settings,
    websocket_class: type[WebSocketCarrier],
    handover: Handover | None = None,
    short_way: ShortWay | None = None,
) -> type[Doorkeeper]:
    """Make the class to give to `uvicorn.Config(http=...)`, for these settings and the endpoints of that class."""
    census = Census(settings)
    HTTP_CONNECTIONS.set_function(lambda: census.http)
    bound = {
        "__slots__": (),
        "settings": settings,
        "census": census,
        "handover": handover,
        "http_class": guarded_http_class(settings, handover, short_way),
        "websocket_class": websocket_class,
        "openings": tuple(f"GET {path}?".encode() for path in websocket_class.endpoints),
    }
    return type("BoundDoorkeeper", (Doorkeeper,), bound)
