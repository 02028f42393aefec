"""Starts and stops a server with the ASGI lifespan, around that of the application it is embedded in.

Owns nothing. The invariant: the server runs before the application's start-up is announced, and is closed before the
application's own shutdown begins, so its handlers never outlive what they use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from sensorcast.transport.http import Receive, Scope, Send

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def with_lifespan(app: Asgi, server: AbstractAsyncContextManager[Any], *, forward: bool) -> Asgi:
    """Wrap `app` so that `server` lives as long as the application; `forward` its lifespan events to `app` too."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
        elif forward:
            await _forwarded(app, server, scope, receive, send)
        else:
            await _alone(server, receive, send)

    return wrapped


async def _alone(server: AbstractAsyncContextManager[Any], receive: Receive, send: Send) -> None:
    await receive()
    async with server:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _forwarded(
    app: Asgi, server: AbstractAsyncContextManager[Any], scope: Scope, receive: Receive, send: Send
) -> None:
    between = _Between(server, receive)
    try:
        await app(scope, between.receive, send)
    except Exception:
        # ASGI: an application without lifespan raises (or returns) before it receives anything.
        if between.asked:
            raise
    finally:
        await between.leave()
    if not between.asked:
        await _alone(server, receive, send)


class _Between:
    """Stands between the ASGI server and the application, and starts and stops the Socket.IO server in passing."""

    def __init__(self, server: AbstractAsyncContextManager[Any], receive: Receive) -> None:
        self._server = server
        self._receive = receive
        self._entered = False
        self.asked = False

    async def receive(self) -> MutableMapping[str, Any]:
        self.asked = True
        event = await self._receive()
        if event["type"] == "lifespan.startup":
            await self._server.__aenter__()
            self._entered = True
        else:
            await self.leave()
        return event

    async def leave(self) -> None:
        if self._entered:
            self._entered = False
            await self._server.__aexit__(None, None, None)
