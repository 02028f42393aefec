"""`POST /api/ingest/readings`: a plain ASGI endpoint, without a framework between the socket and the decoder.

Owns the order of checks: method, key, rate, headers, body, content. The invariant: a request is answered with 200 only
after the commit, everything else is answered in one place, and no body is kept beyond its limit. A body refused unread
is discarded by the server below as it arrives, so the connection stays usable.

There are two ways in: as ASGI application, for every request, and `take`, for a small one that arrived whole, with a
key that is remembered: nothing has to be waited for before the commit, so it needs no task. Both go through the same
checks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any, Final, Protocol

import msgspec
import structlog

from sensorcast.auth import KeyRing
from sensorcast.errors import (
    Forbidden,
    InvalidReading,
    MalformedRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    QuotaExceeded,
    SensorcastError,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from sensorcast.formats import gzip_body, readings_json, slices
from sensorcast.http_errors import HttpAnswer, error_answer, json_answer
from sensorcast.metrics import INGEST_REQUESTS
from sensorcast.model import ApiKey, Reading
from sensorcast.model import Scope as KeyScope
from sensorcast.pipeline import Pipeline, Receipt
from sensorcast.quotas import Quotas
from sensorcast.rate import TokenBuckets
from sensorcast.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ENCODER: Final = msgspec.json.Encoder()
_JSON: Final = b"application/json"
_INFLATED_HERE_BYTES: Final = 32 * 1024
"""Compressed bytes below which a thread would cost more than inflating does: 2 ms at most."""

_UNPACKED_AT_ONCE: Final = 4
"""Bodies that are inflated or large, unpacked at the same time: some 30 MiB each where they are as large as may be."""
_UNPACKED_WAITING_MAX: Final = 64
"""Such bodies that wait or are unpacked; what comes on top is refused with 503, which `INGEST_REQUESTS` counts."""

_answered: Final = cache(lambda status: INGEST_REQUESTS.labels(str(status)))
_log = structlog.get_logger(__name__)


Answer = Callable[[HttpAnswer], None]


class Head(Protocol):
    """What precedes a body: headers by lower-case name, none repeated, and what became `known` of them here."""

    known: object

    @property
    def fields(self) -> Mapping[bytes, bytes]: ...


class _ClientGone(Exception):
    """The client closed the connection before its body was complete; nobody is left to answer."""


class IngestEndpoint:
    """ASGI application of the one ingest route. `clock` gives seconds since 1970."""

    def __init__(
        self,
        pipeline: Pipeline,
        keys: KeyRing,
        settings: Settings,
        clock: Callable[[], float],
        *,
        quotas: Quotas | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._quotas = quotas or Quotas(settings, clock)
        self._unpacking = asyncio.Semaphore(_UNPACKED_AT_ONCE)
        self._unpacked = 0
        self._rates = TokenBuckets(settings.ingest_requests_per_s, settings.ingest_burst_requests)
        self._waiting: set[asyncio.Task[Receipt]] = set()
        """Taken, and waiting for units to be looked up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except _ClientGone:
            return
        _answered(answer.status).inc()
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def take(self, head: Head, body: bytes, answer: Answer) -> bool:
        """Take a POST that is here whole, and call `answer` now or later; False: nothing was done, it has to be called.

        The key of a head that came before needs no proof again, as long as it is remembered.
        """
        if len(body) > self._settings.ingest_body_max_bytes or not slices.is_small(body):
            return False
        key = head.known
        if not (isinstance(key, ApiKey) and self._keys.is_still_good(key)):
            key = head.known = None
            if b"content-encoding" not in head.fields:
                key = self._keys.recognize(_Headers(head.fields).presented_key())
        if key is None:
            return False
        answered = partial(self._answered, answer)
        try:
            self._take(key, head, body, answered)
        except Exception as exc:
            answered(exc)
        return True

    def _take(self, key: ApiKey, head: Head, body: bytes, answered: Callable[..., None]) -> None:
        self._admit(key)
        if head.known is None:
            _Headers(head.fields).is_gzip()  # raises
            head.known = key
        self._pipeline.refuse_when_full()
        organization_id = key.organization_id
        items = self._decoded(body, organization_id, int(self._clock() * 1_000_000))
        self._quotas.take_readings(organization_id, len(items))
        if not self._pipeline.accept_known(organization_id, items, answered):
            waiting = asyncio.ensure_future(self._pipeline.accept(organization_id, items))
            self._waiting.add(waiting)
            waiting.add_done_callback(partial(self._accepted, answered))

    def _accepted(self, answered: Callable[..., None], waiting: asyncio.Task[Receipt]) -> None:
        self._waiting.discard(waiting)
        error = asyncio.CancelledError() if waiting.cancelled() else waiting.exception()
        answered(waiting.result() if error is None else error)

    def _answered(self, answer: Answer, outcome: Receipt | BaseException) -> None:
        made = self._made(outcome)
        _answered(made.status).inc()
        answer(made)

    async def _answer(self, scope: Scope, receive: Receive) -> HttpAnswer:
        try:
            return self._made(await self._ingest(scope, receive))
        except _ClientGone:
            raise
        except Exception as exc:
            return self._made(exc)

    def _made(self, outcome: Receipt | BaseException) -> HttpAnswer:
        """Give the answer with a receipt, or that of an error."""
        if isinstance(outcome, Receipt):
            return json_answer(200, _ENCODER.encode(outcome))
        if not isinstance(outcome, SensorcastError):
            _log.error("ingest_failed", exc_info=outcome)
        answer = error_answer(outcome)
        if isinstance(outcome, MethodNotAllowed):
            return HttpAnswer(answer.status, (*answer.headers, (b"allow", b"POST")), answer.body)
        return answer

    async def _ingest(self, scope: Scope, receive: Receive) -> Receipt:
        if scope["method"] != "POST":
            raise MethodNotAllowed("readings are sent with POST")
        headers = _Headers(_fields(scope["headers"]))
        key = await self._keys.identify(headers.api_key(), address=_address(scope))
        self._admit(key)
        inflate = headers.is_gzip()
        self._pipeline.refuse_when_full()
        body = await self._read(headers, receive)
        organization_id = key.organization_id
        items = await self._unpack(body, organization_id, inflate)
        self._quotas.take_readings(organization_id, len(items))
        return await self._pipeline.accept(organization_id, items)

    def _admit(self, key: ApiKey) -> None:
        """Do every check that needs the key alone."""
        if KeyScope.INGEST not in key.scopes:
            raise Forbidden("this key may not send readings", hint="Make one with the scope ingest.")
        self._check_rate(key)
        self._quotas.take_request(key.organization_id)

    async def _unpack(self, body: bytes, organization_id: str, inflate: bool) -> list[Reading | InvalidReading]:
        """Inflate and decode a body. Only few may be much more than what came over the wire."""
        if not inflate and slices.is_small(body):
            return await self._decode(body, organization_id)
        if self._unpacked >= _UNPACKED_WAITING_MAX:
            raise Unavailable(
                f"{_UNPACKED_WAITING_MAX} compressed or large requests are being read already",
                hint="Slow down and try again.",
                retry_after_s=1,
            )
        self._unpacked += 1
        try:
            async with self._unpacking:
                return await self._decode(await self._inflate(body) if inflate else body, organization_id)
        finally:
            self._unpacked -= 1

    async def _inflate(self, body: bytes) -> bytes:
        if len(body) < _INFLATED_HERE_BYTES:
            return gzip_body.inflate(body, self._settings)
        return await asyncio.to_thread(gzip_body.inflate, body, self._settings)

    async def _decode(self, body: bytes, organization_id: str) -> list[Reading | InvalidReading]:
        """Decode a body, a large one in slices between which everything else on the loop gets its turn."""
        now_us = int(self._clock() * 1_000_000)
        if slices.is_small(body):
            return self._decoded(body, organization_id, now_us)
        decode = partial(self._decoded, organization_id=organization_id, now_us=now_us)
        items: list[Reading | InvalidReading] = []
        for part in await asyncio.to_thread(slices.split, body, self._settings):
            # What could not be split is wrong somewhere and may take long; a thread at least takes turns with the loop.
            items += decode(part) if slices.is_small(part) else await asyncio.to_thread(decode, part)
            await asyncio.sleep(0)
        return items

    def _decoded(self, body: bytes, organization_id: str, now_us: int) -> list[Reading | InvalidReading]:
        return readings_json.decode(body, organization_id=organization_id, now_us=now_us, settings=self._settings)

    def _check_rate(self, key: ApiKey) -> None:
        wait_s = self._rates.take(key.key_id, self._clock())
        if wait_s > 0:
            raise QuotaExceeded(
                f"this key may send {self._settings.ingest_requests_per_s:g} requests a second "
                f"(setting ingest_requests_per_s), {self._settings.ingest_burst_requests} at once "
                "(setting ingest_burst_requests)",
                hint="Send more readings in one request.",
                retry_after_s=math.ceil(wait_s),
            )

    async def _read(self, headers: _Headers, receive: Receive) -> bytes:
        """Read the body, never keeping more than its limit."""
        limit = self._settings.ingest_body_max_bytes
        if headers.content_length() > limit:
            raise _body_too_large(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _body_too_large(limit)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


class _Headers:
    """The request headers this endpoint looks at, of fields by lower-case name."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def api_key(self) -> str:
        """Give the one API key."""
        value = self._fields.get(b"x-api-key")
        if value is None or b"," in value:
            raise Unauthenticated("send exactly one header X-API-Key", hint="X-API-Key: scast_...")
        return value.decode("latin-1")

    def presented_key(self) -> str:
        """Give what may be an API key, or nothing."""
        return self._fields.get(b"x-api-key", b"").decode("latin-1")

    def content_length(self) -> int:
        """Give the announced length of the body; 0 when none is announced (chunked)."""
        value = self._fields.get(b"content-length")
        if value is None:
            return 0
        if not value.isdigit() or len(value) > 18:
            raise MalformedRequest("Content-Length must be one number")
        return int(value)

    def is_gzip(self) -> bool:
        """Check type and encoding of the body; tell whether it is gzip."""
        return _is_gzip(self._fields.get(b"content-type", b""), self._fields.get(b"content-encoding", b""))


def _fields(pairs: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Give header fields by name. Repeated ones are joined with commas, which is what HTTP takes them for."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        return {name: b",".join(value for other, value in pairs if other == name) for name in fields}
    return fields


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


@lru_cache(maxsize=64)  # senders say the same again and again
def _is_gzip(content_type: bytes, content_encoding: bytes) -> bool:
    media_type, parameters = _parted(content_type)
    charset = parameters.replace(b'"', b"").replace(b" ", b"")
    if media_type not in {_JSON, b""} or charset not in {b"", b"charset=utf-8"}:
        raise UnsupportedMediaType("the body must be JSON in UTF-8", hint="Content-Type: application/json")
    encoding, _ = _parted(content_encoding)
    if encoding not in {b"", b"identity", b"gzip"}:
        raise UnsupportedMediaType("the body may be sent plain or as gzip", hint="Content-Encoding: gzip")
    return encoding == b"gzip"


def _parted(header: bytes) -> tuple[bytes, bytes]:
    """Give a header's value and its parameters, both in lower case; empty when there is none."""
    value, _, parameters = header.lower().partition(b";")
    return value.strip(), parameters.strip()


def _body_too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the body has more than {limit} bytes (setting ingest_body_max_bytes)",
        hint="Send fewer readings in one request, or send gzip.",
    )
