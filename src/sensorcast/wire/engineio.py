"""Engine.IO 4 packets: text to values and back, for WebSocket messages and for polling payloads.

Owns the outer codec (https://socket.io/docs/v4/engine-io-protocol/): a packet is one type digit and data; a polling
payload is packets joined by U+001E, binary messages as `b` and base64. The invariant: decoding raises only `WireError`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Frame

SEPARATOR: Final = b"\x1e"
PROTOCOL: Final = "4"


class PacketType(Enum):
    """The type digit of a packet. Values are the digits on the wire."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


_TYPES: Final = {kind.value: kind for kind in PacketType}


class EnginePacket(NamedTuple):
    """One inbound packet. `data` is bytes only for a binary message."""

    kind: PacketType
    data: str | bytes


def decode_text(text: str) -> EnginePacket:
    """Decode one text packet; raise `WireError` for an empty one or an unknown type."""
    kind = _TYPES.get(text[:1])
    if kind is None:
        raise WireError("unknown Engine.IO packet type")
    return EnginePacket(kind, text[1:])


def decode_payload(body: bytes, *, max_packets: int) -> list[EnginePacket]:
    """Decode a polling body into its packets; raise `WireError` when any is bad or there are too many."""
    parts = body.split(SEPARATOR)
    if len(parts) > max_packets:
        raise WireError(f"more than {max_packets} packets in one polling body")
    return [_decode_part(part) for part in parts]


def _decode_part(part: bytes) -> EnginePacket:
    if part[:1] == b"b":
        try:
            return EnginePacket(PacketType.MESSAGE, base64.b64decode(part[1:], validate=True))
        except binascii.Error:
            raise WireError("binary packet is not base64") from None
    try:
        return decode_text(part.decode())
    except UnicodeDecodeError:
        raise WireError("polling body is not UTF-8") from None


def encode_payload(frames: Iterable[Frame]) -> bytes:
    """Encode frames as one polling body."""
    parts: list[bytes] = []
    for frame in frames:
        if frame.text:
            parts.append(frame.text)
        parts.extend(b"b" + base64.b64encode(blob) for blob in frame.attachments)
    return SEPARATOR.join(parts)


CLOSE: Final = Frame(b"1")
NOOP: Final = Frame(b"6")
PING: Final = Frame(b"2")
PROBE_ANSWER: Final = Frame(b"3probe")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The limits and times of a server, as its handshake tells them and as its sessions keep them."""

    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    connect_timeout_s: float = 10.0
    upgrade_timeout_s: float = 10.0
    max_payload_bytes: int = 100_000


def open_frame(sid: str, upgrades: Sequence[str], timing: Timing) -> Frame:
    """Encode the handshake packet: keys exactly sid, upgrades, pingInterval, pingTimeout, maxPayload; times in ms."""
    fields = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(timing.ping_interval_s * 1_000),
        "pingTimeout": round(timing.ping_timeout_s * 1_000),
        "maxPayload": timing.max_payload_bytes,
    }
    return Frame(b"0" + msgspec.json.encode(fields))


class Refusal(NamedTuple):
    """Why a handshake or request is not taken: HTTP status, and Engine.IO's error code and message."""

    status: int
    code: int
    message: str


UNKNOWN_TRANSPORT: Final = Refusal(400, 0, "Transport unknown")
UNKNOWN_SESSION: Final = Refusal(400, 1, "Session ID unknown")
BAD_METHOD: Final = Refusal(400, 2, "Bad handshake method")
BAD_REQUEST: Final = Refusal(400, 3, "Bad request")
FORBIDDEN_ORIGIN: Final = Refusal(403, 4, "Forbidden")
BAD_VERSION: Final = Refusal(400, 5, "Unsupported protocol version")


def check_query(query: Mapping[str, str], transport: str, method: str) -> Refusal | None:
    """Check the query of a request for `transport` ("polling" or "websocket"); None when it may go on.

    A request without `sid` is a handshake, and a handshake must be a GET.
    """
    if query.get("transport") != transport:
        return UNKNOWN_TRANSPORT
    if query.get("EIO") != PROTOCOL:
        return BAD_VERSION
    if "sid" not in query and method != "GET":
        return BAD_METHOD
    return None
