"""A Socket.IO server for any ASGI application: the face of this package as a library.

    server = SocketServer()
    root = server.namespace("/")

    @root.on("hello")
    async def hello(socket, name): return f"hello {name}"

    uvicorn.run(server.asgi(other_app), ws=server.websocket_class)

Owns the endpoint, the namespaces and the tasks of handlers. The invariant: every task runs inside the group that
`async with server` opens, and leaving it closes every connection first, then ends every task within `grace_s`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

import structlog

from sensorcast.http_errors import ANSWER_FIELDS
from sensorcast.transport.client import Client
from sensorcast.transport.connection import Connection
from sensorcast.transport.endpoint import Endpoint, Handshake
from sensorcast.transport.http import PollingRequests, Receive, Scope, Send
from sensorcast.transport.lifespan import Asgi, with_lifespan
from sensorcast.transport.limits import Limits
from sensorcast.transport.namespace import Namespace
from sensorcast.transport.pressure import LOOK_EVERY_S, OutboundPressure
from sensorcast.transport.websocket import WebSocketCarrier, websocket_class
from sensorcast.wire.socketio import ROOT

GRACE_S: Final = 5.0
"""Time that handlers under way at the end have to finish, before they are cancelled."""

_NOT_FOUND: Final = [(b"content-length", b"0"), *ANSWER_FIELDS]

_log = structlog.get_logger(__name__)


class SocketServer:
    """Namespaces at one path, over websocket and polling. Use it as an async context, or through `asgi`."""

    def __init__(
        self,
        *,
        path: str = "/socket.io/",
        limits: Limits | None = None,
        kept_headers: tuple[str, ...] = (),
        grace_s: float = GRACE_S,
        sid_prefix: str = "",
    ) -> None:
        """`kept_headers`: names (lower case) of request headers that handlers will find in `socket.handshake`.

        `sid_prefix`: what every session id begins with, so that a process knows its own.
        """
        self.namespaces: dict[str, Namespace] = {}
        self.endpoint = Endpoint(
            path, self._open, limits=limits or Limits(), kept_headers=kept_headers, sid_prefix=sid_prefix
        )
        self.requests = PollingRequests(self.endpoint)
        """ASGI application for the polling transport, to be routed at the path."""
        self.websocket_class: type[WebSocketCarrier] = websocket_class([self.endpoint])
        """The class for `uvicorn.run(..., ws=...)`."""
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._grace_s = grace_s

    def namespace(self, name: str = ROOT) -> Namespace:
        """The namespace of that name, made on first use."""
        if not name.startswith("/") or "," in name:
            raise ValueError("a namespace begins with / and holds no comma")
        return self.namespaces.setdefault(name, Namespace(name))

    def _open(self, connection: Connection, handshake: Handshake) -> Client:
        return Client(self, connection, handshake)

    def new_id(self) -> str:
        """A fresh public socket id; unlike the session id it is no credential."""
        return secrets.token_urlsafe(12)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a handler's coroutine as a task of this server. Its failure is logged, never spread."""
        if self._tasks is None:
            work.close()
            raise RuntimeError("the server is not running: use `async with server` or `server.asgi`")
        task = self._tasks.create_task(_guarded(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def __aenter__(self) -> Self:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self.endpoint.start(asyncio.get_running_loop())
        self.endpoint.wheel.add(OutboundPressure(self.endpoint), self.endpoint.wheel.now_s + LOOK_EVERY_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.endpoint.close_all()
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            grace = asyncio.get_running_loop().call_later(self._grace_s, self._cancel_running)
            try:
                await tasks.__aexit__(kind, exc, trace)
            finally:
                grace.cancel()

    def _cancel_running(self) -> None:
        _log.warning("handlers_cancelled", handlers=len(self._running))
        for task in self._running:
            task.cancel()

    def asgi(self, other: Asgi | None = None) -> Asgi:
        """An ASGI application: this server at its path, `other` (or 404) elsewhere, started by the lifespan."""

        async def route(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and (scope["path"] + "/").startswith(self.endpoint.path):
                await self.requests(scope, receive, send)
            elif other is not None:
                await other(scope, receive, send)
            elif scope["type"] == "http":
                await send({"type": "http.response.start", "status": 404, "headers": _NOT_FOUND})
                await send({"type": "http.response.body", "body": b""})

        return with_lifespan(route, self, forward=other is not None)


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as exc:
        _log.error("task_failed", exc_info=exc)
