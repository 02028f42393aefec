"""The opening of a WebSocket: which endpoint, allowed or not, and the answer to the handshake.

Owns everything between a request head and an open WebSocket (RFC 6455, section 4; extensions of RFC 7692). uvicorn
has parsed and bounded the head before; parsing it a second time with the general parser of `websockets` was half the
cost of a connection, so this reads just what the handshake needs. The invariant: a request is checked by its endpoint
before anything is kept for the peer, and a refused one gets its HTTP status and a reason.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from websockets.exceptions import InvalidHeaderFormat, NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from sensorcast.http_errors import ANSWER_LINES

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
_KEY_BYTES: Final = 16
_WINDOW_BITS: Final = 15
_DEFLATE: Final = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


class Opening(NamedTuple):
    """What became of a handshake. `endpoint` is None when it was refused; `response` must be sent in any case."""

    response: bytes
    endpoint: Endpoint | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name; values of a repeated one are joined, which no check of ours then matches."""
    deflate: PerMessageDeflate | None = None


def open_websocket(head: bytes, endpoints: Mapping[str, Endpoint]) -> Opening:
    """Decide on the head of an upgrade request: its endpoint may refuse it, then the handshake itself must hold."""
    request_line, _, header_lines = head.partition(b"\r\n")
    method, _, rest = request_line.decode("latin-1").partition(" ")
    path, _, query_text = rest.rpartition(" ")[0].partition("?")
    query, headers = _query(query_text), _parsed(header_lines)
    endpoint = endpoints.get(path) or endpoints.get(path + "/")
    if endpoint is None:
        return Opening(_refused(404, "Not found"), None, query, headers)
    refusal = endpoint.refusal(query, "websocket", method, origin=headers.get("origin"), host=headers.get("host"))
    if refusal is not None:
        return Opening(_refused(refusal.status, refusal.message), None, query, headers)
    fault = _fault(method, headers)
    if fault is not None:
        return Opening(fault, None, query, headers)
    deflate, extension_line = _negotiated(headers) if endpoint.limits.permessage_deflate else (None, b"")
    return Opening(_accepted(headers["sec-websocket-key"], extension_line), endpoint, query, headers, deflate)


def _query(text: str) -> dict[str, str]:
    """Parse a query; that of a stock client has nothing escaped, and needs a tenth of the general parser's time."""
    if "%" in text or "+" in text or ";" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    pairs = (part.partition("=") for part in text.split("&") if part)
    return {name: value for name, _, value in pairs}


def _parsed(header_lines: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in header_lines.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            key, value = name.lower(), value.strip()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _fault(method: str, headers: Mapping[str, str]) -> bytes | None:
    """Check RFC 6455, 4.2.1; None when the handshake holds, else the answer."""
    if method != "GET" or not _is_key(headers.get("sec-websocket-key", "")):
        return _refused(400, "Not a WebSocket handshake: GET with a Sec-WebSocket-Key of 16 bytes is needed")
    if "upgrade" not in headers.get("connection", "").lower():
        return _refused(400, "Not a WebSocket handshake: Connection must name Upgrade")
    if headers.get("sec-websocket-version") != _VERSION:
        return _refused(426, "Sec-WebSocket-Version must be 13", b"Sec-WebSocket-Version: 13\r\n")
    return None


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _accepted(key: str, extension_line: bytes) -> bytes:
    digest = hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n" + extension_line + b"\r\n"
    )


def _refused(status: int, reason: str, extra: bytes = b"") -> bytes:
    body = reason.encode() + b"\n"
    retry = b"Retry-After: 1\r\n" if status == 503 else b""
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n".encode()
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return b"".join((head, ANSWER_LINES, retry, extra, length.encode(), body))


def _negotiated(headers: Mapping[str, str]) -> tuple[PerMessageDeflate | None, bytes]:
    """Take the first offer of permessage-deflate that we can keep; none is no fault."""
    try:
        offers = parse_extension(headers.get("sec-websocket-extensions", ""))
    except InvalidHeaderFormat:
        return None, b""
    for name, params in offers:
        if name != _DEFLATE.name:
            continue
        try:
            accepted, extension = _DEFLATE.process_request_params(params, [])
        except NegotiationError:
            continue
        line = f"Sec-WebSocket-Extensions: {build_extension([(name, accepted)])}\r\n"
        return extension, line.encode()
    return None, b""


def may_deflate(extension: PerMessageDeflate | None) -> bool:
    """Tell whether the peer can read frames that are compressed once for all.

    One that asked for a smaller window than the shared frames use gets them uncompressed, which is always allowed.
    """
    return extension is not None and extension.local_max_window_bits == _WINDOW_BITS
