"""TCP and HTTP under the tests' full control.

Owns `Wire` (one TCP connection that keeps every byte received, even when the peer resets it afterwards) and the
smallest HTTP client on top of it. Every wait ends by a deadline; nothing is retried or repaired.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final, NamedTuple

DEADLINE_S: Final = 30.0  # far above any answer's time, so that only a missing answer meets it


class ConnectionEnded(Exception):
    """The peer ended the connection before the awaited bytes came."""


class Wire(asyncio.Protocol):
    """One TCP connection: bytes out as given, bytes in kept until taken."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(cls, host: str, port: int) -> Wire:
        async with asyncio.timeout(DEADLINE_S):
            _, wire = await asyncio.get_running_loop().create_connection(cls, host, port)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def send(self, data: bytes, *, deadline_s: float = DEADLINE_S) -> None:
        """Write, and wait until the kernel has nearly all of it. A connection that ended swallows the bytes."""
        if not self.ended:
            self.transport.write(data)
        async with asyncio.timeout(deadline_s):
            await asyncio.sleep(0)  # so that the end of the connection can be seen between two writes
            await self._writable.wait()

    async def take(self, size: int, *, deadline_s: float = DEADLINE_S) -> bytes:
        """The next `size` bytes; raise `ConnectionEnded` when fewer will ever come."""
        await self._until(lambda: len(self.received) >= size, deadline_s)
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    async def take_through(self, end: bytes, *, deadline_s: float = DEADLINE_S) -> bytes:
        """The next bytes up to and with `end`."""
        await self._until(lambda: end in self.received, deadline_s)
        return await self.take(self.received.index(end) + len(end))

    async def take_all(self, *, deadline_s: float = DEADLINE_S) -> bytes:
        """Everything until the peer ends the connection."""
        await self._until(lambda: self.ended, deadline_s)
        return await self.take(len(self.received))

    async def _until(self, satisfied, deadline_s: float) -> None:
        async with asyncio.timeout(deadline_s):
            while not satisfied():
                if self.ended:
                    raise ConnectionEnded(f"with {bytes(self.received[:200])!r} unread")
                self._changed.clear()
                await self._changed.wait()

    def finish(self) -> None:
        """End our side of the connection only; harmless when the peer was faster."""
        with contextlib.suppress(OSError):
            if not self.ended:
                self.transport.write_eof()

    def abort(self) -> None:
        """Vanish at once, unsent bytes lost."""
        if not self.ended:
            self.transport.abort()


class HttpReply(NamedTuple):
    """One HTTP response, headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """The head of a request; a Host header is added, nothing else."""
    lines = [f"{method} {target} HTTP/1.1", "Host: conformance.test", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def read_head(wire: Wire, *, deadline_s: float = DEADLINE_S) -> HttpReply:
    """The next response head on the wire, its body still unread."""
    head = (await wire.take_through(b"\r\n\r\n", deadline_s=deadline_s)).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return HttpReply(int(status_line.split(" ")[1]), {name.lower(): value.strip() for name, _, value in fields}, b"")


async def read_reply(wire: Wire, *, deadline_s: float = DEADLINE_S) -> HttpReply:
    """The next complete response on the wire."""
    reply = await read_head(wire, deadline_s=deadline_s)
    if reply.headers.get("transfer-encoding", "").lower() == "chunked":
        return reply._replace(body=await _take_chunks(wire, deadline_s))
    if "content-length" in reply.headers:
        size = int(reply.headers["content-length"])
        return reply._replace(body=await wire.take(size, deadline_s=deadline_s))
    return reply._replace(body=await wire.take_all(deadline_s=deadline_s))


async def _take_chunks(wire: Wire, deadline_s: float) -> bytes:
    body = b""
    while True:
        size = int((await wire.take_through(b"\r\n", deadline_s=deadline_s)).split(b";")[0], 16)
        chunk = await wire.take(size + 2, deadline_s=deadline_s)
        if size == 0:
            return body
        body += chunk[:-2]
