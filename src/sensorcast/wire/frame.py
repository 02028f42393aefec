"""What is sent: a packet encoded once, and a bundle of packets joined once, shared by every subscriber of a room.

Owns the outbound WebSocket framing (RFC 6455, section 5; permessage-deflate of RFC 7692 without context takeover). The
invariant: a frame's bytes are computed at most once per form, never per subscriber, and never change afterwards.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

_FIN_TEXT: Final = 0x81
_FIN_BINARY: Final = 0x82
_RSV1: Final = 0x40

DEFLATE_MIN_BYTES: Final = 256
"""Packets below this go uncompressed: deflate without context gains next to nothing on them."""


def _header(first_byte: int, length: int) -> bytes:
    if length < 126:
        return bytes((first_byte, length))
    if length < 65_536:
        return bytes((first_byte, 126)) + length.to_bytes(2)
    return bytes((first_byte, 127)) + length.to_bytes(8)


def websocket_text(payload: bytes) -> bytes:
    """Frame UTF-8 text as one unmasked, unfragmented WebSocket text message."""
    return _header(_FIN_TEXT, len(payload)) + payload


def _deflated(first_byte: int, payload: bytes) -> bytes:
    if len(payload) < DEFLATE_MIN_BYTES:
        return _header(first_byte, len(payload)) + payload
    compressor = zlib.compressobj(level=6, wbits=-15)
    # RFC 7692, 7.2.1: the four bytes of the sync flush are taken off.
    body = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
    return _header(first_byte | _RSV1, len(body)) + body


class Conflation(NamedTuple):
    """What a frame may be replaced by for a slow subscriber: a later frame of the same key, of equal or higher rank."""

    key: str
    rank: int


class Frame:
    """One packet, encoded: its Engine.IO text (with the leading type digit) and its binary attachments.

    An empty text stands for none: a bare binary message.
    """

    __slots__ = ("_deflated", "_websocket", "attachments", "conflation", "text")

    def __init__(
        self, text: bytes, attachments: tuple[bytes, ...] = (), *, conflation: Conflation | None = None
    ) -> None:
        self.text = text
        self.attachments = attachments
        self.conflation = conflation
        self._websocket: bytes | None = None
        self._deflated: bytes | None = None

    @property
    def websocket(self) -> bytes:
        """The packet as WebSocket frames, joined."""
        if self._websocket is None:
            parts = [websocket_text(self.text)] if self.text else []
            parts.extend(_header(_FIN_BINARY, len(blob)) + blob for blob in self.attachments)
            self._websocket = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._websocket

    @property
    def deflated(self) -> bytes:
        """The packet as WebSocket frames for a peer that negotiated permessage-deflate, joined."""
        if self._deflated is None:
            parts = [_deflated(_FIN_TEXT, self.text)] if self.text else []
            parts.extend(_deflated(_FIN_BINARY, blob) for blob in self.attachments)
            self._deflated = b"".join(parts)
        return self._deflated


class Bundle:
    """The frames of one flush for one room or one choice of rooms, in order, joined into one buffer on first use."""

    __slots__ = ("_deflated", "_websocket", "frames")

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.frames = tuple(frames)
        self._websocket: bytes | None = None
        self._deflated: bytes | None = None

    @property
    def websocket(self) -> bytes:
        """All frames as WebSocket frames in one buffer."""
        if self._websocket is None:
            self._websocket = b"".join([frame.websocket for frame in self.frames])
        return self._websocket

    @property
    def deflated(self) -> bytes:
        """All frames, compressed, in one buffer."""
        if self._deflated is None:
            self._deflated = b"".join([frame.deflated for frame in self.frames])
        return self._deflated
