"""The outermost door: bounds the head of every HTTP request before any of our code sees it.

Owns the limits on request heads (`header_max_bytes`, `header_max_count`, `header_timeout_s`) on top of uvicorn's HTTP
protocol, which has none of its own. The invariant: a peer that drips, floods or never finishes a head holds one socket
for `header_timeout_s` at most, and bytes of one head at most `header_max_bytes` plus one read.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sensorcast.settings import Settings

_TOO_LARGE: Final = "Request head too large (settings header_max_bytes, header_max_count)."


class GuardedHttpProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with bounded heads. Bind settings with `guarded_http_class`."""

    settings: ClassVar[Settings]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._in_head = True
        self._head_bytes = self._read_bytes = self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        # The first head must come soon after the connection; later ones wait under uvicorn's keep-alive timeout.
        self._arm()

    def _arm(self) -> None:
        self._head_timer = self.loop.call_later(self.settings.header_timeout_s, self._head_late)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._body_bytes = 0
        super().data_received(data)
        # Still in the head after all of it was parsed: what of this read was no body belonged to a head.
        if self._in_head and not self.transport.is_closing():
            self._read_bytes += len(data) - self._body_bytes
            if self._read_bytes > self.settings.header_max_bytes:
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._read_bytes = 0
        if self._head_timer is None:
            self._arm()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_head(len(name) + len(value))

    def _count_head(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_is_too_large():
            # The parser turns this into its own error, and `send_400_response` below answers it.
            raise ValueError(_TOO_LARGE)

    def _head_is_too_large(self) -> bool:
        headers = self.headers or ()
        return self._head_bytes > self.settings.header_max_bytes or len(headers) > self.settings.header_max_count

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._head_is_too_large():
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def _refuse_head(self) -> None:
        body = _TOO_LARGE.encode()
        head = (
            f"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)


def guarded_http_class(settings: Settings) -> type[GuardedHttpProtocol]:
    """Make the class to give to `uvicorn.Config(http=...)` for these settings."""
    return type("BoundHttpProtocol", (GuardedHttpProtocol,), {"settings": settings})
