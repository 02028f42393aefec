"""What two workers of one machine say to each other on the bus between them, as bytes.

Owns the framing: four bytes of length, one of kind, then the payload. Who listens connects and speaks `Hello`,
`Listen`, `Unlisten` and `Ready`; who is listened to answers `Confirm`, `Message`, `Lost` and `Bye`. Pure: bytes to
values and back. The invariant: a frame that is too long or makes no sense is a `WireError`, never anything else.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from sensorcast.wire.errors import WireError

FRAME_MAX_BYTES: Final = 64 * 1024 * 1024
"""Longest frame read: far above any message of ours, far below what would hurt."""
CHANNEL_MAX_BYTES: Final = 65_535

_HEAD: Final = struct.Struct(">IB")
_NUMBER: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    """The first of a listener: its number."""
    LISTEN = 2
    UNLISTEN = 3
    READY = 4
    """Everything that was listened to before the connection has been asked for."""
    CONFIRM = 5
    """From here on, everything on the channel of the `LISTEN` with this number follows."""
    MESSAGE = 6
    LOST = 7
    """Messages before this were dropped; none after it until the next `LOST`."""
    BYE = 8
    """The last of a worker that stops in good order: nothing of what it published is missing."""


class MeshFrame(NamedTuple):
    """A frame as it was read; which fields mean something depends on the kind."""

    kind: Kind
    number: int = 0
    channel: str = ""
    message: bytes = b""


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """Encode a frame without fields, or with a payload made elsewhere."""
    return _HEAD.pack(len(payload), kind) + payload


def encode_number(kind: Kind, number: int, channel: str = "") -> bytes:
    """Encode `HELLO`, `CONFIRM`, or, with a channel, `LISTEN`."""
    return encode(kind, _NUMBER.pack(number) + channel.encode())


def encode_unlisten(channel: str) -> bytes:
    """Encode `UNLISTEN`."""
    return encode(Kind.UNLISTEN, channel.encode())


def encode_message(channel: str, message: bytes) -> bytes:
    """Encode `MESSAGE`. Raises `WireError` when it is too long to be read."""
    name = channel.encode()
    size_bytes = _LENGTH.size + len(name) + len(message)
    if len(name) > CHANNEL_MAX_BYTES or size_bytes > FRAME_MAX_BYTES:
        raise WireError(f"a message of {len(message)} bytes on a channel of {len(name)} is too long")
    return b"".join((_HEAD.pack(size_bytes, Kind.MESSAGE), _LENGTH.pack(len(name)), name, message))


class MeshReader:
    """Cuts a stream of bytes into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def receive(self, data: bytes) -> list[MeshFrame]:
        """Give the frames that are complete now. Raises `WireError`; the stream is of no use after that."""
        buffer = self._rest + data if self._rest else data
        frames: list[MeshFrame] = []
        at = 0
        while len(buffer) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(buffer, at)
            if length > FRAME_MAX_BYTES:
                raise WireError(f"a frame of {length} bytes")
            end = at + _HEAD.size + length
            if end > len(buffer):
                break
            frames.append(_decoded(kind, bytes(buffer[at + _HEAD.size : end])))
            at = end
        self._rest = buffer[at:]
        return frames


def _decoded(kind_number: int, payload: bytes) -> MeshFrame:
    try:
        kind = Kind(kind_number)
        if kind is Kind.MESSAGE:
            start = _LENGTH.size + _LENGTH.unpack_from(payload)[0]
            if start > len(payload):
                raise WireError("a channel longer than its frame")
            return MeshFrame(kind, 0, payload[_LENGTH.size : start].decode(), payload[start:])
        if kind in {Kind.HELLO, Kind.LISTEN, Kind.CONFIRM}:
            return MeshFrame(kind, _NUMBER.unpack_from(payload)[0], payload[_NUMBER.size :].decode())
        return MeshFrame(kind, 0, payload.decode())
    except (ValueError, struct.error) as exc:
        raise WireError(f"a frame that makes no sense: {exc}") from exc
