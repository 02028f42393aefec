"""HTTP long-polling, inbound: the ASGI application at an endpoint's path.

Owns the reading of polling requests and the form of their answers. The invariants: a body is never read beyond
`max_payload_bytes` or the end of its session, overlapping GETs or POSTs of one session end it, and a refused request
says why in Engine.IO's form `{"code", "message"}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from sensorcast.http_errors import ANSWER_FIELDS
from sensorcast.transport import connection as reasons
from sensorcast.transport.connection import Connection
from sensorcast.transport.endpoint import Endpoint
from sensorcast.transport.origin import PREFLIGHT_HEADERS, cors_headers
from sensorcast.transport.polling import PollingCarrier
from sensorcast.wire.engineio import (
    BAD_METHOD,
    BAD_REQUEST,
    FORBIDDEN_ORIGIN,
    UNKNOWN_SESSION,
    Refusal,
    decode_payload,
)
from sensorcast.wire.errors import WireError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TOO_LARGE: Final = Refusal(413, 3, "Payload too large (setting max_payload_bytes)")
_TEXT: Final = [(b"content-type", b"text/plain; charset=UTF-8")]
_JSON: Final = [(b"content-type", b"application/json")]
_BUSY: Final = [(b"retry-after", b"1")]


class PollingRequests:
    """ASGI application for the polling transport of one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        origin, method = headers.get("origin"), scope["method"]
        answer = _Answer(send, origin)
        if method == "OPTIONS":
            await self._preflight(answer, origin, headers.get("host"))
            return
        refusal = self._endpoint.refusal(query, "polling", method, origin=origin, host=headers.get("host"))
        if refusal is None and method not in {"GET", "POST"}:
            refusal = BAD_METHOD
        if refusal is not None:
            await answer.refuse(refusal)
        elif "sid" not in query:
            await self._open(scope, headers, query, answer)
        elif method == "GET":
            await self._poll(self._endpoint.connections[query["sid"]], receive, answer)
        else:
            await self._push(self._endpoint.connections[query["sid"]], headers, receive, answer)

    async def _preflight(self, answer: _Answer, origin: str | None, host: str | None) -> None:
        if self._endpoint.is_allowed_origin(origin, host):
            await answer.write(204, b"", PREFLIGHT_HEADERS)
        else:
            await answer.refuse(FORBIDDEN_ORIGIN)

    async def _open(self, scope: Scope, headers: dict[str, str], query: dict[str, str], answer: _Answer) -> None:
        carrier = PollingCarrier(self._endpoint)
        address = scope["client"][0] if scope.get("client") else ""
        carrier.connection = self._endpoint.open(carrier, address=address, query=query, headers=headers)
        await answer.write(200, carrier.take(), _TEXT)

    async def _poll(self, connection: Connection, receive: Receive, answer: _Answer) -> None:
        carrier = connection.carrier
        if not isinstance(carrier, PollingCarrier) or carrier.is_polled:
            connection.close(f"{reasons.PROTOCOL_ERROR}: overlapping polls")
            await answer.refuse(BAD_REQUEST)
            return
        try:
            if await _is_gone_before(carrier.wait(), receive):
                connection.close(reasons.TRANSPORT_CLOSED)
                return
            body = carrier.take()
        finally:
            carrier.leave()
        await answer.write(200, body, _TEXT)

    async def _push(self, connection: Connection, headers: dict[str, str], receive: Receive, answer: _Answer) -> None:
        carrier = connection.carrier
        if not isinstance(carrier, PollingCarrier) or carrier.is_pushed:
            connection.close(f"{reasons.PROTOCOL_ERROR}: overlapping posts")
            await answer.refuse(BAD_REQUEST)
            return
        reading = asyncio.ensure_future(_read(headers, receive, self._endpoint.limits.timing.max_payload_bytes))
        try:
            either: tuple[asyncio.Future[Any], ...] = (reading, carrier.begin_push())
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await answer.refuse(UNKNOWN_SESSION)
            elif (body := reading.result()) is None:
                connection.close(f"{reasons.PROTOCOL_ERROR}: polling body too large")
                await answer.refuse(_TOO_LARGE)
            else:
                await self._take(connection, headers, body, answer)
        finally:
            reading.cancel()
            carrier.end_push()

    async def _take(self, connection: Connection, headers: dict[str, str], body: bytes, answer: _Answer) -> None:
        try:
            if headers.get("content-type", "").startswith("application/octet-stream"):
                raise WireError("binary polling bodies are of Engine.IO 3")
            packets = decode_payload(body, max_packets=self._endpoint.limits.payload_max_packets)
        except WireError as exc:
            connection.close(f"{reasons.PROTOCOL_ERROR}: {exc}")
            await answer.refuse(BAD_REQUEST)
            return
        for packet in packets:
            connection.receive(packet)
        await answer.write(200, b"ok", _TEXT)


class _Answer:
    """Writes one HTTP answer with the headers that all of them carry."""

    __slots__ = ("_origin", "_send")

    def __init__(self, send: Send, origin: str | None) -> None:
        self._send = send
        self._origin = origin

    async def write(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        # RFC 9110, 8.6: a 204 has no length.
        length = [] if status == 204 else [(b"content-length", str(len(body)).encode())]
        all_headers = [*headers, *length, *ANSWER_FIELDS, *cors_headers(self._origin)]
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal) -> None:
        body = msgspec.json.encode({"code": refusal.code, "message": refusal.message})
        if refusal is FORBIDDEN_ORIGIN:
            self._origin = None
        await self.write(refusal.status, body, _JSON + (_BUSY if refusal.status == 503 else []))


async def _read(headers: dict[str, str], receive: Receive, max_bytes: int) -> bytes | None:
    """Read a request body; None as soon as it is longer than `max_bytes`, or when the client is gone."""
    if headers.get("content-length", "").isdecimal() and int(headers["content-length"]) > max_bytes:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            return None
        if not event.get("more_body", False):
            return b"".join(parts)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _is_gone_before(waiting: asyncio.Future[None], receive: Receive) -> bool:
    """Wait for whichever comes first: `waiting`, or the end of the client; tell whether the client is gone."""
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return leaving.done()
    finally:
        leaving.cancel()
