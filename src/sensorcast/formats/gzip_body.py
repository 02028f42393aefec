"""Gzip bodies, inflated within bounds.

Owns the defence against compression bombs. The invariant: never more than the allowed bytes are inflated, whatever the
body claims, and a body is taken whole or not at all: a broken, cut or padded one is an error.
"""

from __future__ import annotations

import zlib
from typing import Final

from sensorcast.errors import MalformedRequest, PayloadTooLarge
from sensorcast.settings import Settings

_MEMBERS_MAX: Final = 16
"""Gzip files one body may be joined from. Real senders use one; each costs a copy of the rest of the body."""

_GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS


def inflate(body: bytes, settings: Settings) -> bytes:
    """Give the inflated body. Raises `PayloadTooLarge` beyond a bound and `MalformedRequest` for what is not gzip."""
    limit = _Limit(len(body), settings)
    parts: list[bytes] = []
    size = 0
    for _ in range(_MEMBERS_MAX):
        part, body = _member(body, limit, limit.bytes - size)
        size += len(part)
        parts.append(part)
        if not body:
            return b"".join(parts)
    raise MalformedRequest(f"the gzip body is joined from more than {_MEMBERS_MAX} files")


class _Limit:
    """How far a body of this size may inflate, and which setting says so."""

    def __init__(self, compressed_bytes: int, settings: Settings) -> None:
        # What would be taken without compression is taken with it, however well it compressed.
        by_ratio = max(settings.ingest_body_max_bytes, compressed_bytes * settings.ingest_inflate_max_ratio)
        self.bytes = min(settings.ingest_inflated_max_bytes, by_ratio)
        self.refusal = (
            f"the gzip body inflates to more than {self.bytes} bytes (setting ingest_inflated_max_bytes)"
            if self.bytes == settings.ingest_inflated_max_bytes
            else f"the gzip body inflates more than {settings.ingest_inflate_max_ratio} times "
            "(setting ingest_inflate_max_ratio)"
        )


def _member(body: bytes, limit: _Limit, room_bytes: int) -> tuple[bytes, bytes]:
    """Inflate one gzip file; give its content and what follows it."""
    inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        content = inflater.decompress(body, room_bytes + 1)  # one more than allowed, to know it from exactly allowed
    except zlib.error:
        raise MalformedRequest("the body is not sound gzip") from None
    if len(content) > room_bytes:
        raise PayloadTooLarge(limit.refusal)
    if not inflater.eof:
        raise MalformedRequest("the gzip body ends too early")
    return content, inflater.unused_data
