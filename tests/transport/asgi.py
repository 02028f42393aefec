"""One HTTP request as an ASGI server hands it over: a body in pieces, a client that can leave, the answer kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from sensorcast.transport.http import Receive, Scope, Send


class Request:
    """Run it with an application; `status`, `headers` and `body` are the answer."""

    def __init__(
        self,
        target: str,
        *,
        method: str = "GET",
        body: Iterable[bytes] = (b"",),
        headers: dict[str, str] | None = None,
    ) -> None:
        path, _, query = target.partition("?")
        pairs = ({"host": "server.test"} | (headers or {})).items()
        self.scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in pairs],
            "client": ("192.0.2.7", 5_000),
        }
        self._pieces = list(body)
        self._gone = asyncio.Event()
        self._sent: list[dict[str, Any]] = []
        self.pieces_read = 0

    async def run(self, app: Any) -> Request:
        await app(self.scope, self.receive, self.send)
        return self

    def start(self, app: Any) -> asyncio.Task[Request]:
        return asyncio.ensure_future(self.run(app))

    def leave(self) -> None:
        """The client hangs up."""
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        if self.pieces_read < len(self._pieces):
            self.pieces_read += 1
            more = self.pieces_read < len(self._pieces)
            return {"type": "http.request", "body": self._pieces[self.pieces_read - 1], "more_body": more}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: Any) -> None:
        self._sent.append(event)

    @property
    def answered(self) -> bool:
        return bool(self._sent)

    @property
    def status(self) -> int:
        return int(self._sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self._sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(event["body"] for event in self._sent[1:])


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that has nothing."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"x-from", b"other")]})
    await send({"type": "http.response.body", "body": b""})
