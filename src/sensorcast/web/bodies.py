"""Request bodies of the web door: bytes in, checked values out.

The invariant: a body is read only up to `BODY_MAX_BYTES`, must be JSON of exactly the expected shape, and what is wrong
with it is said without repeating it.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from sensorcast.errors import InvalidRequest, MalformedRequest, PayloadTooLarge, UnsupportedMediaType
from sensorcast.strict_json import JsonError, check_depth

BODY_MAX_BYTES: Final = 64 * 1024
"""Names and settings of one thing; readings have a door of their own."""
_JSON_DEPTH: Final = 8

T = TypeVar("T")


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Common form of request bodies: camelCase, nothing that is not known."""


async def read(request: Request, shape: type[T]) -> T:
    """Read the body as `shape`. Raises errors of the table."""
    media_type = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("the body must be plain JSON", hint="Content-Type: application/json")
    body = await _read(request)
    try:
        value = msgspec.json.decode(body, type=shape)
        check_depth(body, _JSON_DEPTH)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the body is not as it should be: {exc}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, JsonError):
        raise MalformedRequest("the body must be JSON") from None
    return value


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_MAX_BYTES:
                raise PayloadTooLarge(f"the body has more than {BODY_MAX_BYTES} bytes")
    except ClientDisconnect:
        raise MalformedRequest("the body never came") from None
    return bytes(body)
