"""Socket.IO 5 packets: one decoder with its limits, and the encoders of everything a server sends.

Owns the inner codec (https://socket.io/docs/v4/socket-io-protocol/): type digit, attachment count, namespace, ack id,
JSON. The invariants: decoding raises only `WireError` and keeps at most one unfinished binary packet within the limits;
encoding gives strict JSON or raises `JsonError`, so no value can make a browser's parser fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sensorcast import strict_json
from sensorcast.strict_json import JsonError
from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Conflation, Frame

ROOT: Final = "/"
RESERVED_EVENTS: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
_MAX_ACK_ID: Final = 2**53 - 1
"""The largest integer a JavaScript peer can count to."""
_MAX_NAMESPACE_CHARS: Final = 128
_MAX_OUTBOUND_DEPTH: Final = 64
"""Deeper than any event of ours, shallow enough for every peer's parser; a value that holds itself ends here."""
_DIGITS: Final = frozenset("0123456789")


class SocketPacketType(Enum):
    """The type digit of a Socket.IO packet. Values are the digits on the wire."""

    CONNECT = "0"
    DISCONNECT = "1"
    EVENT = "2"
    ACK = "3"
    CONNECT_ERROR = "4"
    BINARY_EVENT = "5"
    BINARY_ACK = "6"


_TYPES: Final = {kind.value: kind for kind in SocketPacketType}
_BINARY: Final = {
    SocketPacketType.BINARY_EVENT: SocketPacketType.EVENT,
    SocketPacketType.BINARY_ACK: SocketPacketType.ACK,
}


class SocketPacket(NamedTuple):
    """One whole inbound packet; binary ones come as EVENT or ACK with their attachments put in as bytes."""

    kind: SocketPacketType
    namespace: str
    ack_id: int | None
    data: Any


class DecodeLimits(NamedTuple):
    """What a client may make the decoder hold."""

    max_depth: int = 8
    max_attachments: int = 0


class PacketDecoder:
    """Turns Engine.IO messages into packets. Feed every message in order; text opens a packet, bytes complete it."""

    __slots__ = ("_attachments", "_expected", "_limits", "_pending")

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._pending: SocketPacket | None = None
        self._expected = 0
        self._attachments: list[bytes] = []

    def feed(self, message: str | bytes) -> SocketPacket | None:
        """Take one message; return the packet it completes, or None while attachments are missing."""
        if isinstance(message, str):
            return self._feed_text(message)
        return self._feed_binary(message)

    def _feed_text(self, text: str) -> SocketPacket | None:
        if self._pending is not None:
            raise WireError("text message while binary attachments are missing")
        packet, attachments = _decode_text(text, self._limits)
        if attachments == 0:
            return _completed(packet, ())
        self._pending, self._expected = packet, attachments
        return None

    def _feed_binary(self, blob: bytes) -> SocketPacket | None:
        if self._pending is None:
            raise WireError("binary message that no packet asked for")
        self._attachments.append(blob)
        if len(self._attachments) < self._expected:
            return None
        packet, attachments = self._pending, self._attachments
        self._pending, self._attachments = None, []
        return _completed(packet, attachments)


def _decode_text(text: str, limits: DecodeLimits) -> tuple[SocketPacket, int]:
    kind = _TYPES.get(text[:1])
    if kind is None:
        raise WireError("unknown Socket.IO packet type")
    at, attachments = _decode_attachments(text, 1, limits) if kind in _BINARY else (1, 0)
    at, namespace = _decode_namespace(text, at)
    at, ack_id = _decode_ack_id(text, at)
    data = _decode_json(text[at:], limits) if at < len(text) else None
    _check_payload(kind, data, ack_id)
    return SocketPacket(kind, namespace, ack_id, data), attachments


def _decode_attachments(text: str, at: int, limits: DecodeLimits) -> tuple[int, int]:
    # Two digits are enough for the hard limit of 10; a longer number is refused before it is converted.
    end = text.find("-", at, at + 3)
    digits = text[at:end] if end > at else ""
    if not digits or not _DIGITS.issuperset(digits) or not int(digits):
        raise WireError("bad attachment count")
    if int(digits) > limits.max_attachments:
        raise WireError(f"more than {limits.max_attachments} binary attachments (setting attachments_max)")
    return end + 1, int(digits)


def _decode_namespace(text: str, at: int) -> tuple[int, str]:
    if text[at : at + 1] != "/":
        return at, ROOT
    comma = text.find(",", at, at + _MAX_NAMESPACE_CHARS + 1)
    if comma < 0 and len(text) - at > _MAX_NAMESPACE_CHARS:
        raise WireError(f"namespace longer than {_MAX_NAMESPACE_CHARS} characters")
    return (len(text), text[at:]) if comma < 0 else (comma + 1, text[at:comma])


def _decode_ack_id(text: str, at: int) -> tuple[int, int | None]:
    end = at
    while end < len(text) and text[end] in _DIGITS and end - at < 17:
        end += 1
    if end == at:
        return at, None
    ack_id = int(text[at:end])
    if ack_id > _MAX_ACK_ID:
        raise WireError("ack id out of range")
    return end, ack_id


def _decode_json(text: str, limits: DecodeLimits) -> Any:
    try:
        data = strict_json.decode(text, max_depth=limits.max_depth)
    except JsonError as exc:
        raise WireError(str(exc)) from None
    if data is None:
        # No packet carries a bare null; letting it through would make it the same as no payload at all.
        raise WireError("null is no payload")
    return data


def _check_payload(kind: SocketPacketType, data: Any, ack_id: int | None) -> None:
    match kind:
        case SocketPacketType.EVENT | SocketPacketType.BINARY_EVENT:
            valid = isinstance(data, list) and bool(data) and _is_event_name(data[0])
        case SocketPacketType.ACK | SocketPacketType.BINARY_ACK:
            valid = isinstance(data, list) and ack_id is not None
        case SocketPacketType.CONNECT:
            valid = ack_id is None and (data is None or isinstance(data, dict))
        case SocketPacketType.DISCONNECT:
            valid = ack_id is None and data is None
        case SocketPacketType.CONNECT_ERROR:
            valid = False
    if not valid:
        raise WireError(f"bad payload of a Socket.IO {kind.name} packet")


def _is_event_name(value: Any) -> bool:
    if isinstance(value, str):
        return value not in RESERVED_EVENTS
    return isinstance(value, int | float) and not isinstance(value, bool)


def _completed(packet: SocketPacket, attachments: Sequence[bytes]) -> SocketPacket:
    kind = _BINARY.get(packet.kind)
    if kind is None:
        return packet
    return packet._replace(kind=kind, data=_with_attachments(packet.data, attachments))


def _with_attachments(value: Any, attachments: Sequence[bytes]) -> Any:
    """Put attachments where their placeholders stand. Depth is bounded by the decoder's `max_depth`."""
    if isinstance(value, list):
        return [_with_attachments(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is not True:
        return {key: _with_attachments(item, attachments) for key, item in value.items()}
    number = value.get("num")
    if type(number) is not int or not 0 <= number < len(attachments):
        raise WireError("placeholder of an attachment that is not there")
    return attachments[number]


def _prefix(kind: SocketPacketType, namespace: str) -> bytes:
    head = f"4{kind.value}"
    return head.encode() if namespace == ROOT else f"{head}{namespace},".encode()


@lru_cache(maxsize=64)
def _event_head(name: str, namespace: str) -> bytes:
    """What every event of that name begins with. Names are the program's own, so there are few."""
    return _prefix(SocketPacketType.EVENT, namespace) + b"[" + strict_json.encode(name)


def event_frame(name: str, *json_args: bytes, namespace: str = ROOT, conflation: Conflation | None = None) -> Frame:
    """Encode an event whose arguments are JSON already: the fast path of batches."""
    return Frame(b",".join((_event_head(name, namespace), *json_args)) + b"]", conflation=conflation)


def encode_event(namespace: str, name: str, args: Sequence[Any], ack_id: int | None = None) -> Frame:
    """Encode an event with any JSON values and bytes as arguments; raise `JsonError` for what JSON cannot say."""
    return _encode(SocketPacketType.EVENT, SocketPacketType.BINARY_EVENT, namespace, [name, *args], ack_id)


def encode_ack(namespace: str, ack_id: int, args: Sequence[Any]) -> Frame:
    """Encode the answer to an event that asked for one."""
    return _encode(SocketPacketType.ACK, SocketPacketType.BINARY_ACK, namespace, list(args), ack_id)


def _encode(
    plain: SocketPacketType, binary: SocketPacketType, namespace: str, data: list[Any], ack_id: int | None
) -> Frame:
    attachments: list[bytes] = []
    if _holds_bytes(data, 0):
        data = _without_attachments(data, attachments)
    number = b"" if ack_id is None else str(ack_id).encode()
    json = strict_json.encode(data)
    if not attachments:
        return Frame(_prefix(plain, namespace) + number + json)
    space = b"" if namespace == ROOT else f"{namespace},".encode()
    head = f"4{binary.value}{len(attachments)}-".encode()
    return Frame(head + space + number + json, tuple(attachments))


def _holds_bytes(value: Any, depth: int) -> bool:
    """Tell whether there is an attachment anywhere in `value`; also the check that it ends."""
    if isinstance(value, str | int | float | None):
        return False
    if depth > _MAX_OUTBOUND_DEPTH:
        raise JsonError(f"cannot be sent as JSON: nests deeper than {_MAX_OUTBOUND_DEPTH} levels")
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101  # asking for Mapping alone is slow
        return True in [_holds_bytes(item, depth + 1) for item in value.values()]
    if isinstance(value, list | tuple):
        return True in [_holds_bytes(item, depth + 1) for item in value]
    return isinstance(value, bytes | bytearray | memoryview)


def _without_attachments(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, list | tuple):
        return [_without_attachments(item, attachments) for item in value]
    if isinstance(value, Mapping):
        return {key: _without_attachments(item, attachments) for key, item in value.items()}
    return value


def connect_frame(namespace: str, sid: str) -> Frame:
    """Encode the acceptance of a CONNECT."""
    return Frame(_prefix(SocketPacketType.CONNECT, namespace) + strict_json.encode({"sid": sid}))


def connect_error_frame(namespace: str, message: str, data: Any = None) -> Frame:
    """Encode the refusal of a CONNECT: `{message}` or `{message, data}`."""
    error = {"message": message} if data is None else {"message": message, "data": data}
    return Frame(_prefix(SocketPacketType.CONNECT_ERROR, namespace) + strict_json.encode(error))


def disconnect_frame(namespace: str) -> Frame:
    """Encode the DISCONNECT packet. A stock client does not reconnect by itself after it."""
    return Frame(_prefix(SocketPacketType.DISCONNECT, namespace))
