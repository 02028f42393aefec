"""A namespace: the handlers of an application, its connected sockets and their rooms.

Owns the registry of handlers and of sockets of one namespace. Handlers are plain functions or coroutines; a plain one
runs at once, without a task. The invariant: a socket is in `sockets` exactly from its accepted CONNECT to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from sensorcast.hub import Hub, Subscriber
from sensorcast.transport.socket import Socket
from sensorcast.wire.frame import Bundle
from sensorcast.wire.socketio import RESERVED_EVENTS, encode_event

Middleware = Callable[[Socket, Any], Awaitable[None] | None]
"""(socket, auth payload): raise `ConnectRefused` to refuse."""
EventHandler = Callable[..., Any]
"""(socket, *arguments) -> answer: a tuple is several arguments, anything else is one."""
SocketHandler = Callable[[Socket], Any]
DisconnectHandler = Callable[[Socket, str], Any]

_M = TypeVar("_M", bound=Middleware)
_E = TypeVar("_E", bound=EventHandler)
_S = TypeVar("_S", bound=SocketHandler)
_D = TypeVar("_D", bound=DisconnectHandler)


class ConnectRefused(Exception):
    """Raised by a middleware: the client gets `connect_error` with this message and, if given, `data`."""

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Namespace:
    """Handlers, sockets and rooms under one name. Made by `SocketServer.namespace`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hub = Hub()
        self.sockets: dict[str, Socket] = {}
        self.middlewares: list[Middleware] = []
        self.handlers: dict[str, EventHandler] = {}
        self.connect_handlers: list[SocketHandler] = []
        self.disconnect_handlers: list[DisconnectHandler] = []
        self.slowed_handlers: list[SocketHandler] = []
        self.restored_handlers: list[SocketHandler] = []

    def use(self, middleware: _M) -> _M:
        """Add a check that every CONNECT passes, in the order of adding. Usable as a decorator."""
        self.middlewares.append(middleware)
        return middleware

    def on(self, event: str) -> Callable[[_E], _E]:
        """Decorate the handler of an event. What it returns is the answer to a client that asked for one."""
        if event in RESERVED_EVENTS:
            raise ValueError(f"{event!r} is reserved; see on_connect and on_disconnect")

        def register(handler: _E) -> _E:
            self.handlers[event] = handler
            return handler

        return register

    def on_connect(self, handler: _S) -> _S:
        """Decorate a handler called with each socket after its CONNECT was accepted."""
        self.connect_handlers.append(handler)
        return handler

    def on_disconnect(self, handler: _D) -> _D:
        """Decorate a handler called with each socket that ended, and why; its rooms are still in `socket.rooms`."""
        self.disconnect_handlers.append(handler)
        return handler

    def on_slowed(self, handler: _S) -> _S:
        """Decorate a handler called when a socket has begun to lose batches to newer ones."""
        self.slowed_handlers.append(handler)
        return handler

    def on_restored(self, handler: _S) -> _S:
        """Decorate a handler called when such a socket has everything again."""
        self.restored_handlers.append(handler)
        return handler

    def emit(
        self,
        event: str,
        *args: Any,
        rooms: Iterable[str] | None = None,
        except_rooms: Iterable[str] = (),
        volatile: bool = False,
    ) -> None:
        """Send an event, encoded once, to everybody, or to everybody in any of `rooms`; socket ids count as rooms.

        Those in any of `except_rooms` are left out; with `volatile` also those who do not keep up.
        """
        chosen: set[Subscriber] = set(self.sockets.values()) if rooms is None else self._members(rooms)
        chosen -= self._members(except_rooms)
        bundle = Bundle((encode_event(self.name, event, args),))
        for subscriber in chosen:
            if not volatile or (isinstance(subscriber, Socket) and subscriber.writable):
                subscriber.deliver(bundle)

    def _members(self, rooms: Iterable[str]) -> set[Subscriber]:
        members: set[Subscriber] = set()
        for room in rooms:
            members.update(self.hub.members(room))
            if room in self.sockets:
                members.add(self.sockets[room])
        return members
