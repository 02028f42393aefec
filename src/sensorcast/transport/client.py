"""Socket.IO above one connection: CONNECT through the middlewares, events to handlers, answers back.

Owns the sockets of one connection. The invariants: an application's exception never reaches the connection or another
client (it is logged, the client gets no answer); a handler answers at most once; a client that sends faster than its
rate, whose handlers pile up, or who does not read its answers, is answered with an error instead of being served.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, Protocol

import structlog

from sensorcast.metrics import CLIENT_EVENTS_REFUSED
from sensorcast.transport.connection import Connection
from sensorcast.transport.endpoint import Handshake
from sensorcast.transport.namespace import ConnectRefused, Namespace
from sensorcast.transport.socket import LastAnswer, Socket
from sensorcast.wire.socket_session import SocketSession
from sensorcast.wire.socketio import (
    SocketPacket,
    SocketPacketType,
    connect_error_frame,
    connect_frame,
    disconnect_frame,
    encode_ack,
)

_log = structlog.get_logger(__name__)

CLIENT_DISCONNECT: Final = "client namespace disconnect"
SERVER_DISCONNECT: Final = "server namespace disconnect"
_RATE_CODE: Final = "rate_limited"
_TOO_MANY: Final = "too many events (settings client_events_per_s, client_events_burst)"
RATE_LIMITED: Final = {"ok": False, "error": {"code": _RATE_CODE, "message": _TOO_MANY}}
_UNREAD: Final = "earlier answers have not been read (setting outbound_hard_bytes); ask again after them"
TOO_MUCH_UNREAD: Final = {"ok": False, "error": {"code": _RATE_CODE, "message": _UNREAD}}


class Application(Protocol):
    """What a client needs of its server."""

    namespaces: dict[str, Namespace]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the server."""
        ...

    def new_id(self) -> str:
        """A fresh public socket id."""
        ...


class Client:
    """The Socket.IO side of one connection."""

    __slots__ = (
        "_application", "_connect_by_s", "_pending", "_running", "_session", "connection", "handshake", "sockets"
    )  # fmt: skip

    def __init__(self, application: Application, connection: Connection, handshake: Handshake) -> None:
        self.connection = connection
        self.handshake = handshake
        self.sockets: dict[str, Socket] = {}
        self._application = application
        self._session = SocketSession(connection.limits.decode)
        self._connect_by_s: float | None = self._deadline_s()
        self._pending: dict[str, Socket] | None = None
        """By namespace, whose CONNECT waits for a middleware. One that was taken back and sent again is another."""
        self._running = 0

    @property
    def connect_by_s(self) -> float | None:
        return self._connect_by_s

    def _deadline_s(self) -> float:
        return self.connection.wheel.now_s + self.connection.limits.timing.connect_timeout_s

    @property
    def _overloads(self) -> bool:
        """True while the client sends, or has under way, more than its rate allows."""
        return self.connection.over_rate or self._running >= self.connection.limits.events_burst

    def receive(self, message: str | bytes) -> None:
        packet = self._session.receive(message)
        if packet is None:
            return
        match packet.kind:
            case SocketPacketType.EVENT:
                self._event(self.sockets[packet.namespace], packet)
            case SocketPacketType.ACK:
                if packet.ack_id is not None:
                    self.sockets[packet.namespace].answered(packet.ack_id, packet.data)
            case SocketPacketType.CONNECT:
                self._connect(packet)
            case SocketPacketType.DISCONNECT:
                self._leave(packet.namespace)

    # CONNECT

    def _connect(self, packet: SocketPacket) -> None:
        namespace = self._application.namespaces.get(packet.namespace)
        if namespace is None:
            self._refuse(packet.namespace, ConnectRefused("Invalid namespace"))
            return
        if self._overloads:
            self._refuse(packet.namespace, ConnectRefused(_TOO_MANY, {"code": _RATE_CODE}))
            return
        socket = Socket(self._application.new_id(), namespace, self)
        auth = {} if packet.data is None else packet.data
        try:
            for index, middleware in enumerate(namespace.middlewares):
                waiting = middleware(socket, auth)
                if waiting is not None:
                    self._pending = {**(self._pending or {}), namespace.name: socket}
                    self._running += 1
                    self._application.spawn(self._connect_later(socket, auth, waiting, index + 1))
                    return
        except Exception as exc:
            self._refuse(namespace.name, exc)
        else:
            self._accept(socket)

    async def _connect_later(self, socket: Socket, auth: Any, waiting: Awaitable[None], index: int) -> None:
        namespace = socket.namespace
        try:
            await waiting
            for middleware in namespace.middlewares[index:]:
                result = middleware(socket, auth)
                if result is not None:
                    await result
        except Exception as exc:
            if self._is_pending(socket):
                self._refuse(namespace.name, exc)
        else:
            if self._is_pending(socket):
                self._accept(socket)
        finally:
            self._running -= 1

    def _is_pending(self, socket: Socket) -> bool:
        """Tell whether the client still wants this CONNECT answered: it may have gone, or taken it back."""
        return (
            not self.connection.closed
            and self._pending is not None
            and self._pending.get(socket.namespace.name) is socket
        )

    def _settle(self, name: str) -> None:
        if self._pending is not None:
            self._pending.pop(name, None)

    def _refuse(self, name: str, exc: Exception) -> None:
        self._settle(name)
        self._session.leave(name)
        if not isinstance(exc, ConnectRefused):
            _log.error("connect_failed", namespace=name, exc_info=exc)
            exc = ConnectRefused("internal error")
        self.connection.send(connect_error_frame(name, exc.message, exc.data))

    def _accept(self, socket: Socket) -> None:
        namespace = socket.namespace
        self._settle(namespace.name)
        self._session.accept(namespace.name)
        self.connection.send(connect_frame(namespace.name, socket.id))
        if self.connection.closed:
            # A middleware closed it, or the client does not read and this packet was one too many.
            return
        self._connect_by_s = None
        self.sockets[namespace.name] = socket
        namespace.sockets[socket.id] = socket
        self._notify(namespace.connect_handlers, socket)

    # Events

    def _event(self, socket: Socket, packet: SocketPacket) -> None:
        name, *args = packet.data
        handler = socket.namespace.handlers.get(name) if isinstance(name, str) else None
        if handler is None:
            return
        if self._overloads:
            CLIENT_EVENTS_REFUSED.inc()
            self._answer(socket, packet.ack_id, RATE_LIMITED)
            return
        try:
            result = handler(socket, *args)
        except Exception as exc:
            _failed(name, exc)
            return
        if result is not None and inspect.isawaitable(result):
            self._running += 1
            self._application.spawn(self._answer_later(socket, packet, result))
        else:
            self._answer(socket, packet.ack_id, result)

    async def _answer_later(self, socket: Socket, packet: SocketPacket, result: Awaitable[Any]) -> None:
        try:
            self._answer(socket, packet.ack_id, await result)
        except Exception as exc:
            _failed(packet.data[0], exc)
        finally:
            self._running -= 1

    def _answer(self, socket: Socket, ack_id: int | None, result: Any) -> None:
        if isinstance(result, LastAnswer):
            self._answer(socket, ack_id, result.value)
            socket.disconnect(close=True)
            return
        if ack_id is None or not socket.connected:
            return
        args = result if isinstance(result, tuple) else (result,)
        try:
            frame = encode_ack(socket.namespace.name, ack_id, args)
        except Exception as exc:  # a JsonError, or whatever an object of the application raises when it is read
            _failed("answer", exc)
        else:
            if not self.connection.takes(frame):
                CLIENT_EVENTS_REFUSED.inc()
                frame = encode_ack(socket.namespace.name, ack_id, (TOO_MUCH_UNREAD,))
            self.connection.send(frame)

    def _notify(self, handlers: Iterable[Callable[..., Any]], socket: Socket, *args: Any) -> None:
        for handler in handlers:
            try:
                result = handler(socket, *args)
                if result is not None and inspect.isawaitable(result):
                    self._application.spawn(_finish(result))
            except Exception as exc:
                _failed(getattr(handler, "__name__", "handler"), exc)

    # Ends

    def disconnect(self, socket: Socket, *, close: bool) -> None:
        """End one socket from our side; see `Socket.disconnect`."""
        self.connection.send(disconnect_frame(socket.namespace.name))
        self._session.leave(socket.namespace.name)
        self._end(socket, SERVER_DISCONNECT)
        if close:
            self.connection.close(SERVER_DISCONNECT)

    def _leave(self, name: str) -> None:
        self._settle(name)
        self._session.leave(name)
        socket = self.sockets.get(name)
        if socket is not None:
            self._end(socket, CLIENT_DISCONNECT)

    def _end(self, socket: Socket, reason: str) -> None:
        namespace = socket.namespace
        if not socket.connected:
            # The packet that told the client of its end has ended the whole connection, because it does not read.
            return
        del self.sockets[namespace.name]
        if not self.sockets:
            # A connection without any namespace is like one that has not begun.
            self._connect_by_s = self._deadline_s()
        namespace.sockets.pop(socket.id, None)
        self._notify(namespace.disconnect_handlers, socket, reason)
        namespace.hub.drop(socket)
        socket.ended()

    def slowed(self) -> None:
        for socket in list(self.sockets.values()):
            self._notify(socket.namespace.slowed_handlers, socket)

    def restored(self) -> None:
        for socket in list(self.sockets.values()):
            self._notify(socket.namespace.restored_handlers, socket)

    def closed(self, reason: str) -> None:
        for socket in list(self.sockets.values()):
            self._end(socket, reason)


def _failed(what: object, exc: Exception) -> None:
    _log.error("handler_failed", event_name=str(what)[:100], exc_info=exc)


async def _finish(result: Awaitable[Any]) -> None:
    try:
        await result
    except Exception as exc:
        _failed("handler", exc)
