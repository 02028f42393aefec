"""Inbound WebSocket frames: the Sans-I/O `websockets` protocol, which refuses a long control frame by its header.

Owns nothing but that difference. RFC 6455, 5.5: a control frame holds at most 125 bytes; the library looks at that when
it has the whole frame, so a peer could make us keep as much as a message may have.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.streams import StreamReader

_CONTROL: Final = 0x08
"""The bit of the opcode that all control frames have."""
_LENGTH: Final = 0x7F
_LONGEST: Final = 125
_QUIET: Final = logging.getLogger("sensorcast.websocket")


class _FrameReader(StreamReader):
    """Asked for the end of the stream before each frame, and so the place to look at its header."""

    is_parsed = True
    """False once what comes is thrown away unseen."""

    def at_eof(self) -> Generator[None, None, bool]:
        while len(self.buffer) < 2:
            if self.eof:
                return not self.buffer
            yield
        if self.is_parsed and self.buffer[0] & _CONTROL and self.buffer[1] & _LENGTH > _LONGEST:
            raise ProtocolError("control frame too long")
        return False


class InboundProtocol(Protocol):
    """The server's side of an open WebSocket."""

    reader: _FrameReader

    def __init__(self, max_payload_bytes: int) -> None:
        super().__init__(SERVER, state=OPEN, max_size=max_payload_bytes, logger=_QUIET)

    def parse(self) -> Generator[None]:
        self.reader = _FrameReader()
        return super().parse()

    def discard(self) -> Generator[None]:
        self.reader.is_parsed = False
        return super().discard()
