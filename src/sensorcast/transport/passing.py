"""Polling requests of another worker's session, on a connection that is ours to keep: passed on, answer and all.

Owns the way there and back, over the Unix socket on which the other worker answers its neighbours only. A first request
takes its whole connection along (`handover`); this is for later ones, as a reverse proxy sends them that mixes many
clients on one connection. The invariants: what is passed on is at our path and names another worker's session; the one
that gets it passes nothing on, so nothing goes round; a worker that is gone is a session that is not known.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from sensorcast.cluster.neighbours import connection, read_answer
from sensorcast.cluster.worker import Worker
from sensorcast.metrics import POLLS_PASSED_ON
from sensorcast.transport.http import PollingRequests, Receive, Scope, Send
from sensorcast.wire.engineio import Timing

UNDER_WAY_MAX: Final = 2_000
"""Polls waiting at other workers through us; each holds two file descriptors on this machine."""
SPARE_S: Final = 10.0
"""On top of the longest time that a poll can rightly wait."""
_CHUNK_BYTES: Final = 65_536
_METHODS: Final = frozenset({"GET", "POST", "OPTIONS"})
_OWN_HEADERS: Final = frozenset(
    {b"connection", b"expect", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Headers that are about one connection (RFC 9110, 7.6.1)."""
_SET_ANEW: Final = frozenset({b"date", b"connection"})


class _Unanswered(Exception):
    """The other worker has not begun to answer, so somebody else can."""


class PassedRequests:
    """ASGI application around that of our own sessions, for a worker that is not alone."""

    def __init__(self, local: PollingRequests, worker: Worker, path: str, timing: Timing) -> None:
        self._local = local
        self._worker = worker
        self._path = path.encode()
        self._timeout_s = timing.ping_interval_s + timing.ping_timeout_s + SPARE_S
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        owner = self._owner(scope)
        if owner is None or self._under_way >= UNDER_WAY_MAX:
            await self._local(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._pass_on(owner, scope, receive, send)
            POLLS_PASSED_ON.labels("answered").inc()
        except _Unanswered:
            POLLS_PASSED_ON.labels("unanswered").inc()
            await self._local(scope, receive, send)
        finally:
            self._under_way -= 1

    def _owner(self, scope: Scope) -> int | None:
        query: bytes = scope["query_string"]
        if b"sid=" not in query or scope["method"] not in _METHODS:
            return None
        return self._worker.owner(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)).get("sid", ""))

    async def _pass_on(self, owner: int, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def begin_and_send(event: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(event)

        try:
            async with asyncio.timeout(self._timeout_s), connection(self._worker.http_path(owner)) as (reader, writer):
                is_chunked = scope["method"] == "POST" and b"content-length" not in dict(scope["headers"])
                writer.write(self._head(scope, is_chunked=is_chunked))
                sending = asyncio.ensure_future(_send_body(receive, writer, is_chunked=is_chunked))
                answering = asyncio.ensure_future(_answer(reader, begin_and_send))
                try:
                    # Whichever ends first ends it: the answer is there, or the client is gone and so is its request.
                    await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
                    if answering.done():
                        answering.result()
                finally:
                    sending.cancel()
                    answering.cancel()
                    await asyncio.gather(sending, answering, return_exceptions=True)
        except OSError as exc:
            if has_begun:  # the client must not take a part for the whole
                raise RuntimeError("a worker ended within its answer") from exc
            raise _Unanswered from exc

    def _head(self, scope: Scope, *, is_chunked: bool) -> bytes:
        kept: Iterable[tuple[bytes, bytes]] = (pair for pair in scope["headers"] if pair[0] not in _OWN_HEADERS)
        framing = [(b"transfer-encoding", b"chunked")] if is_chunked else []
        lines = [b"%s: %s\r\n" % pair for pair in (*kept, (b"connection", b"close"), *framing)]
        request = b"%s %s?%s HTTP/1.1\r\n" % (scope["method"].encode(), self._path, scope["query_string"])
        return request + b"".join(lines) + b"\r\n"


async def _send_body(receive: Receive, writer: asyncio.StreamWriter, *, is_chunked: bool) -> None:
    """Pass the body on as it comes, then wait for the end of the client."""
    with contextlib.suppress(OSError):  # the other side stops reading when it has refused the request
        while (event := await receive())["type"] == "http.request":
            body = event.get("body", b"")
            if body:
                writer.write(b"%x\r\n%s\r\n" % (len(body), body) if is_chunked else body)
                await writer.drain()
            if is_chunked and not event.get("more_body", False):
                writer.write(b"0\r\n\r\n")
        return
    await asyncio.Event().wait()


async def _answer(reader: asyncio.StreamReader, send: Send) -> None:
    answer = await read_answer(reader)
    headers = [pair for pair in answer.headers if pair[0] not in _SET_ANEW]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    left = answer.body_bytes
    while left:
        part = await reader.read(min(left, _CHUNK_BYTES))
        if not part:
            raise ConnectionResetError("the answer is not whole")
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": left > 0})
    if not answer.body_bytes:
        await send({"type": "http.response.body", "body": b""})
