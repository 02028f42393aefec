"""Errors as HTTP answers, the same for every HTTP door.

Owns the JSON form `{"error": {"code", "message", "hint"?}}`, the headers that belong to a status, and those that tell a
browser what an answer may do. The invariant: only an error raised on purpose shows its text; anything else is a plain
500 that tells nothing about the inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from sensorcast.errors import SensorcastError

_ENCODER: Final = msgspec.json.Encoder()
_UNEXPECTED: Final = SensorcastError("something went wrong on the server; the log has the details")
_CHALLENGE: Final = b'Bearer realm="sensorcast", ApiKey realm="sensorcast"'

Headers = list[tuple[bytes, bytes]]

ANSWER_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
"""Content security policy of everything that is no page."""
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""What tells a browser not to guess, frame or leak, whatever the answer."""
ANSWER_FIELDS: Final[Headers] = [
    (name.lower().encode(), value.encode())
    for name, value in (
        {"Cache-Control": "no-store"} | SECURITY_HEADERS | {"Content-Security-Policy": ANSWER_POLICY}
    ).items()
]
"""What every answer has that is no page and no file: nobody in between keeps it, and it can load nothing."""
ANSWER_LINES: Final = b"".join(b"%b: %b\r\n" % field for field in ANSWER_FIELDS)
"""The same for doors that write their answers themselves."""


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status, headers and body, ready for any ASGI server."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def json_answer(status: int, body: bytes, more: Headers | None = None) -> HttpAnswer:
    """Give an answer with a JSON body, and `more` headers."""
    headers = _json_headers(len(body))
    return HttpAnswer(status, (*headers, *more) if more else headers, body)


@lru_cache(maxsize=512)
def _json_headers(body_bytes: int) -> tuple[tuple[bytes, bytes], ...]:
    length = (b"content-length", str(body_bytes).encode())
    return ((b"content-type", b"application/json"), length, *ANSWER_FIELDS)


def error_answer(error: BaseException) -> HttpAnswer:
    """Give the answer for an error. The caller logs what is not a `SensorcastError`."""
    shown = error if isinstance(error, SensorcastError) else _UNEXPECTED
    code = "internal" if shown is _UNEXPECTED else shown.code
    fields = {"code": code, "message": shown.message}
    if shown.hint:
        fields["hint"] = shown.hint
    more: Headers = []
    if shown.retryable:
        more.append((b"retry-after", str(max(1, shown.retry_after_s or 1)).encode()))
    if shown.status == 401:
        more.append((b"www-authenticate", _CHALLENGE))
    return json_answer(shown.status, _ENCODER.encode({"error": fields}), more)
