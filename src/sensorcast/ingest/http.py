"""`POST /api/ingest/readings`: a plain ASGI endpoint, without a framework between the socket and the decoder.

Owns the order of checks: method, key, rate, headers, body, content. The invariant: a request is answered with 200 only
after the commit, everything else is answered in one place, and no body is kept beyond its limit. A body refused unread
is discarded by the server below as it arrives, so the connection stays usable.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache, lru_cache, partial
from typing import Any, Final

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
    UnsupportedMediaType,
)
from sensorcast.formats import gzip_body, readings_json, slices
from sensorcast.http_errors import HttpAnswer, error_answer, json_answer
from sensorcast.metrics import INGEST_REQUESTS
from sensorcast.model import ApiKey, Reading
from sensorcast.model import Scope as KeyScope
from sensorcast.pipeline import Pipeline
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

_answered: Final = cache(lambda status: INGEST_REQUESTS.labels(str(status)))
_log = structlog.get_logger(__name__)


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
        self._rates = TokenBuckets(settings.ingest_requests_per_s, settings.ingest_burst_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except _ClientGone:
            return
        _answered(answer.status).inc()
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> HttpAnswer:
        try:
            return json_answer(200, await self._ingest(scope, receive))
        except _ClientGone:
            raise
        except MethodNotAllowed as exc:
            answer = error_answer(exc)
            answer.headers.append((b"allow", b"POST"))
            return answer
        except SensorcastError as exc:
            return error_answer(exc)
        except Exception as exc:
            _log.exception("ingest_failed")
            return error_answer(exc)

    async def _ingest(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] != "POST":
            raise MethodNotAllowed("readings are sent with POST")
        headers = _Headers(scope["headers"])
        key = await self._keys.identify(headers.api_key(), address=_address(scope))
        if KeyScope.INGEST not in key.scopes:
            raise Forbidden("this key may not send readings", hint="Make one with the scope ingest.")
        self._check_rate(key)
        self._quotas.take_request(key.organization_id)
        inflate = headers.is_gzip()
        self._pipeline.refuse_when_full()
        body = await self._read(headers, receive)
        if inflate:
            body = await self._inflate(body)
        organization_id = key.organization_id
        items = await self._decode(body, organization_id)
        self._quotas.take_readings(organization_id, len(items))
        return _ENCODER.encode(await self._pipeline.accept(organization_id, items))

    async def _inflate(self, body: bytes) -> bytes:
        if len(body) < _INFLATED_HERE_BYTES:
            return gzip_body.inflate(body, self._settings)
        return await asyncio.to_thread(gzip_body.inflate, body, self._settings)

    async def _decode(self, body: bytes, organization_id: str) -> list[Reading | InvalidReading]:
        """Decode a body, a large one in slices between which everything else on the loop gets its turn."""
        now_us = int(self._clock() * 1_000_000)
        decode = partial(readings_json.decode, organization_id=organization_id, now_us=now_us, settings=self._settings)
        if slices.is_small(body):
            return decode(body)
        items: list[Reading | InvalidReading] = []
        for part in await asyncio.to_thread(slices.split, body, self._settings):
            # What could not be split is wrong somewhere and may take long; a thread at least takes turns with the loop.
            items += decode(part) if slices.is_small(part) else await asyncio.to_thread(decode, part)
            await asyncio.sleep(0)
        return items

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
    """The request headers this endpoint looks at."""

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._values: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for name, value in pairs:
            self._values[name].append(value)

    def api_key(self) -> str:
        """Give the one API key."""
        values = self._all(b"x-api-key")
        if len(values) != 1:
            raise Unauthenticated("send exactly one header X-API-Key", hint="X-API-Key: scast_...")
        return values[0].decode("latin-1")

    def content_length(self) -> int:
        """Give the announced length of the body; 0 when none is announced (chunked)."""
        values = self._all(b"content-length")
        if not values:
            return 0
        if len(values) > 1 or not values[0].isdigit() or len(values[0]) > 18:
            raise MalformedRequest("Content-Length must be one number")
        return int(values[0])

    def is_gzip(self) -> bool:
        """Check type and encoding of the body; tell whether it is gzip."""
        return _is_gzip(self._joined(b"content-type"), self._joined(b"content-encoding"))

    def _joined(self, name: bytes) -> bytes:
        return b",".join(self._all(name))

    def _all(self, name: bytes) -> list[bytes]:
        return self._values.get(name, [])


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
