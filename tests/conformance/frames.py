"""WebSocket frames as bytes, both ways, for tests that must be able to break every rule of RFC 6455.

Owns the encoder (which writes whatever it is told, right or wrong) and the parser of what a server sends (which
refuses everything a server must not send). Nothing of it is used by the product.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_MASK: Final = b"\x37\xfa\x21\x3d"  # the key of the examples in RFC 6455, section 5.7


class Frame(NamedTuple):
    """One frame as a server sent it."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def close_code(self) -> int | None:
        """The status code of a close frame; None when it carries none."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    claimed_length: int | None = None,
) -> bytes:
    """Encode one frame as a client; `claimed_length` writes another length than the payload has."""
    length = len(payload) if claimed_length is None else claimed_length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", first, mask_bit | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    return head + (_MASK + _apply_mask(payload) if masked else payload)


def text(message: str, *, fin: bool = True) -> bytes:
    """A masked text frame."""
    return frame(TEXT, message.encode(), fin=fin)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A masked close frame; the code may be one that is not allowed."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def _apply_mask(payload: bytes) -> bytes:
    size = len(payload)
    key = (_MASK * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def header_size(start: bytes) -> int:
    """How many bytes the header of a server's frame has; needs its first two bytes."""
    return 2 + {126: 2, 127: 8}.get(start[1] & 0x7F, 0)


def parse_header(header: bytes) -> tuple[int, bool, int]:
    """Opcode, fin and payload length of a server's frame; a frame no server may send fails the test."""
    first, second = header[0], header[1]
    assert not first & 0x70, f"reserved bits set by the server: {first:#04x}"
    assert not second & 0x80, "masked frame from the server"
    length = second & 0x7F
    if length >= 126:
        minimum = 126 if length == 126 else 65_536
        length = int.from_bytes(header[2:], "big")
        assert length >= minimum, "length not encoded in the fewest bytes"
    return first & 0x0F, bool(first & 0x80), length
