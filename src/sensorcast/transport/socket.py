"""One client in one namespace, as an application sees it: emit, call, rooms, disconnect.

Owns the pending answers of `call` and the application's `data`. The invariant: after the end every method is harmless,
and every pending `call` has been failed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sensorcast.hub import NO_ROOMS
from sensorcast.wire.frame import Bundle
from sensorcast.wire.socketio import encode_event, event_frame

if TYPE_CHECKING:
    from sensorcast.transport.client import Client
    from sensorcast.transport.endpoint import Handshake
    from sensorcast.transport.namespace import Namespace


class SocketClosed(ConnectionError):
    """The socket was disconnected before its answer came."""


class RoomLimit(ValueError):
    """The socket is in as many rooms as `rooms_per_socket` allows."""


@dataclass(frozen=True, slots=True)
class LastAnswer:
    """What a handler returns to answer with `value` and end the connection, before anything else of it is looked at."""

    value: Any


class Socket:
    """A connected client of a namespace. `data` is the application's; `id` is public and names the socket in `emit`."""

    __slots__ = ("_calls", "_client", "_next_call", "data", "id", "namespace", "rooms")

    def __init__(self, socket_id: str, namespace: Namespace, client: Client) -> None:
        self.id = socket_id
        self.namespace = namespace
        self.rooms: frozenset[str] = NO_ROOMS
        self.data: Any = None
        self._client = client
        self._calls: dict[int, asyncio.Future[list[Any]]] | None = None
        self._next_call = 0

    @property
    def handshake(self) -> Handshake:
        """Address, query and kept headers of the client's first request."""
        return self._client.handshake

    @property
    def connected(self) -> bool:
        """True from the accepted CONNECT until the end."""
        return self._client.sockets.get(self.namespace.name) is self

    @property
    def writable(self) -> bool:
        """False while the client does not keep up; volatile events are dropped then."""
        carrier = self._client.connection.carrier
        return carrier is not None and carrier.writable

    def deliver(self, bundle: Bundle) -> None:
        """Send encoded frames; the hub calls this."""
        carrier = self._client.connection.carrier
        if carrier is not None:
            carrier.deliver(bundle)

    def emit(self, event: str, *args: Any, volatile: bool = False) -> None:
        """Send an event; arguments are JSON values and bytes. Raises `JsonError` for what JSON cannot say.

        With `volatile` it is dropped, not queued, when the client is not keeping up.
        """
        if self.connected and (self.writable or not volatile):
            self._client.connection.send(encode_event(self.namespace.name, event, args))

    def emit_json(self, event: str, *json_args: bytes) -> None:
        """Send an event whose arguments are JSON already; the caller answers for that."""
        if self.connected:
            self._client.connection.send(event_frame(event, *json_args, namespace=self.namespace.name))

    async def call(self, event: str, *args: Any, timeout_s: float = 10.0) -> list[Any]:
        """Send an event and wait for the client's answer: the list of its arguments.

        Raises `TimeoutError` after `timeout_s`, `SocketClosed` when the socket ends first.
        """
        if not self.connected:
            raise SocketClosed("the socket is not connected")
        number, self._next_call = self._next_call, self._next_call + 1
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        calls = self._calls = self._calls if self._calls is not None else {}
        calls[number] = answer
        try:
            self._client.connection.send(encode_event(self.namespace.name, event, args, number))
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            calls.pop(number, None)

    def answered(self, number: int, args: list[Any]) -> None:
        """Complete a pending call; an answer that nobody waits for (any more) is ignored."""
        answer = self._calls.get(number) if self._calls is not None else None
        if answer is not None and not answer.done():
            answer.set_result(args)

    def join(self, room: str) -> None:
        """Enter a room of the namespace. Raises `RoomLimit` beyond `rooms_per_socket`; harmless once disconnected."""
        if not self.connected or room in self.rooms:
            return
        limit = self._client.connection.limits.rooms_per_socket
        if len(self.rooms) >= limit:
            raise RoomLimit(f"a socket may be in {limit} rooms (setting rooms_per_socket)")
        self.namespace.hub.join(self, room)

    def leave(self, room: str) -> None:
        """Leave a room; harmless when not in it."""
        self.namespace.hub.leave(self, room)

    def disconnect(self, *, close: bool = False) -> None:
        """Send the DISCONNECT packet and end this socket; with `close`, end its whole connection after it.

        A stock client does not reconnect by itself after a DISCONNECT packet.
        """
        if self.connected:
            self._client.disconnect(self, close=close)

    def ended(self) -> None:
        """Fail what still waits; the client calls this once, when the socket is over."""
        for answer in (self._calls or {}).values():
            if not answer.done():
                answer.set_exception(SocketClosed("the socket was disconnected"))
