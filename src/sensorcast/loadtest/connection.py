"""One dashboard of a load test: a Socket.IO connection over WebSocket, as cheap as thousands of them need.

Owns the socket, the opening and the frames; what batches say is for `tally`. The invariant: `joined` is done exactly
once, and after it a connection either goes on receiving or has `is_lost` set.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec

from sensorcast import strict_json
from sensorcast.errors import ConfigurationError

_MASKED: Final = 0x80
_NO_MASK: Final = bytes(4)
"""A mask of zeros: allowed, and nothing has to be masked."""
_BATCH: Final = b'42["sensor:readings:batch",'
_JOINED: Final = b'42["connection:ack"'

OnBatch = Callable[["Connection", bytes], None]
"""Called with the connection and the payload of a batch, as JSON."""


class Refused(Exception):
    """The server did not take the connection."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class Target(msgspec.Struct, frozen=True):
    """Where a server is."""

    host: str
    port: int
    is_tls: bool

    @classmethod
    def of(cls, url: str) -> Target:
        """Read a base URL. Raises `ConfigurationError` when it is none."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigurationError(f"--url must be an address like http://127.0.0.1:8080, not {url!r}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"--url must be an address like http://127.0.0.1:8080, not {url!r}")
        is_tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if is_tls else 80), is_tls)


class Connection(asyncio.Protocol):
    """One dashboard. Make it with `connect`."""

    def __init__(self, target: Target, token: str, on_batch: OnBatch) -> None:
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_lost = False
        self.seen = bytearray()
        """How often each reading of the test has arrived, by its number."""
        self._target = target
        self._token = token
        self._on_batch = on_batch
        self._is_open = False
        self._unread = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            (
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                f"Host: {self._target.host}:{self._target.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._is_open:
            self._open()
        if self._is_open:
            self._take_frames()

    def _open(self) -> None:
        end = self._unread.find(b"\r\n\r\n")
        if end < 0:
            return
        status = bytes(self._unread[9:12])
        del self._unread[: end + 4]
        self._is_open = status == b"101"
        if not self._is_open:
            self._fail(Refused(f"the server answered {status.decode(errors='replace')}", retry=status == b"503"))

    def _take_frames(self) -> None:
        unread, at = self._unread, 0
        while (size := frame_size(unread, at)) is not None:
            start, end = size
            if unread[at] & 0x0F == 1:
                self._message(bytes(unread[start:end]))
            at = end
        del unread[:at]

    def _message(self, message: bytes) -> None:
        if message.startswith(_BATCH):
            self._on_batch(self, message[len(_BATCH) : -1])
        elif message == b"2":
            self._send(b"3")
        elif message.startswith(b"0"):
            self._send(b"40" + strict_json.encode({"token": self._token}))
        elif message.startswith(_JOINED) and not self.joined.done():
            self.joined.set_result(None)
        elif message.startswith(b"44"):
            self._fail(Refused(f"the server refused the token: {message[2:].decode(errors='replace')}", retry=False))

    def _send(self, packet: bytes) -> None:
        if self._transport is not None:
            size = len(packet)
            head = bytes((0x81, _MASKED | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
            self._transport.write(head + _NO_MASK + packet)

    def _fail(self, refused: Refused) -> None:
        if not self.joined.done():
            self.joined.set_exception(refused)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._fail(Refused("the connection ended while it was made", retry=True))

    def stop_reading(self) -> None:
        """Read no further, and let the kernel take little: as a client does that hangs."""
        if self._transport is not None:
            self._transport.pause_reading()
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()


def frame_size(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `at` begins and ends; None while not all of it is there."""
    if len(data) < at + 2:
        return None
    size, start = data[at + 1] & 0x7F, at + 2
    if size >= 126:
        length = 2 if size == 126 else 8
        size, start = int.from_bytes(data[start : start + length]), start + length
    return None if len(data) < start + size else (start, start + size)


async def connect(target: Target, token: str, on_batch: OnBatch) -> Connection:
    """Open a connection and wait until it is joined. Raises `Refused` or `OSError`."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(target, token, on_batch),
        target.host,
        target.port,
        ssl=ssl.create_default_context() if target.is_tls else None,
    )
    try:
        await connection.joined
    except BaseException:
        connection.close()
        raise
    return connection
