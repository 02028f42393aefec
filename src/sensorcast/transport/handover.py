"""Connections that begin with a request of another worker's session go to that worker, socket and all.

Owns the passing of sockets between workers (SCM_RIGHTS, over a Unix socket in their private folder): the sender offers
the socket and what was read from it, the receiver answers with one byte once it has it. The invariants: of a connection
that was offered, at most one worker serves it; one that was taken over is never offered again; a worker that is not
there leaves the connection to us, who then do not know its session.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from sensorcast.cluster.worker import Worker
from sensorcast.metrics import CONNECTIONS_HANDED_OVER

HANDOVER_TIMEOUT_S: Final = 5.0
"""For the other worker to take a connection: between two turns of its event loop."""
UNDER_WAY_MAX: Final = 1_000
"""Connections on their way to other workers; more are dropped, and their clients come again."""
FIRST_READ_MAX_BYTES: Final = 1024 * 1024
"""More than any event loop reads at once."""
_LINE_MAX_BYTES: Final = 4_096
_BACKLOG: Final = 1_024
_LENGTH: Final = struct.Struct(">I")
_TAKEN: Final = b"t"

Adopt = Callable[[socket.socket, bytes], Awaitable[None]]
"""Serve a connection of which these bytes were read already."""


class Handover:
    """Both directions, for one worker. Let `start` and `stop` enclose its use."""

    def __init__(self, worker: Worker, endpoint_path: str) -> None:
        self._worker = worker
        self._openings = tuple(f"{method} {endpoint_path}?".encode() for method in ("GET", "POST"))
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None

    # Sending

    def destination(self, data: bytes) -> int | None:
        """Give the worker whose session the first request in `data` names; None when it is for us to answer."""
        end = data.find(b"\r\n", 0, _LINE_MAX_BYTES)
        if end < 0 or data.find(b"sid=", 0, end) < 0 or not data.startswith(self._openings):
            return None
        target = data[:end].split(b" ")[1]
        query = dict(parse_qsl(target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True))
        return self._worker.owner(query.get("sid", ""))

    def offer(self, transport: asyncio.Transport, data: bytes, index: int, take_back: Callable[[], None]) -> None:
        """Hand the connection to worker `index`; `take_back` is called when that worker is not there."""
        if len(self._tasks) >= UNDER_WAY_MAX:
            CONNECTIONS_HANDED_OVER.labels("dropped").inc()
            transport.abort()
            return
        transport.pause_reading()
        self._spawn(self._give(transport, data, index, take_back))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give(self, transport: asyncio.Transport, data: bytes, index: int, take_back: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        outcome = "dropped"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.setblocking(False)
            try:
                async with asyncio.timeout(HANDOVER_TIMEOUT_S):
                    await loop.sock_connect(channel, str(self._worker.handover_path(index)))
                    outcome = await self._pass(transport, data, channel)
            except (FileNotFoundError, ConnectionRefusedError):
                outcome = "refused"
            except OSError:  # also when it takes too long; whether the other has it by now is not known
                pass
        CONNECTIONS_HANDED_OVER.labels(outcome).inc()
        if outcome == "refused" and not transport.is_closing():
            transport.resume_reading()
            take_back()
        else:
            transport.abort()

    async def _pass(self, transport: asyncio.Transport, data: bytes, channel: socket.socket) -> str:
        if transport.is_closing():
            return "dropped"
        loop = asyncio.get_running_loop()
        descriptor = transport.get_extra_info("socket").fileno()
        socket.send_fds(channel, [_LENGTH.pack(len(data))], [descriptor])
        await loop.sock_sendall(channel, data)
        return "taken" if await loop.sock_recv(channel, 1) == _TAKEN else "dropped"

    # Receiving

    def start(self, adopt: Adopt) -> None:
        """Begin to take connections over; each is given to `adopt`."""
        path = self._worker.handover_path(self._worker.index)
        path.unlink(missing_ok=True)
        listener = self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener, adopt)

    async def stop(self) -> None:
        """Take and give no more."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            _remove(self._worker.handover_path(self._worker.index))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket, adopt: Adopt) -> None:
        with contextlib.suppress(OSError):
            channel, _ = listener.accept()
            channel.setblocking(False)
            self._spawn(self._take(channel, adopt))

    async def _take(self, channel: socket.socket, adopt: Adopt) -> None:
        loop = asyncio.get_running_loop()
        with channel, contextlib.suppress(OSError, ValueError, struct.error):
            async with asyncio.timeout(HANDOVER_TIMEOUT_S):
                await _readable(channel)
                head, descriptors, _flags, _address = socket.recv_fds(channel, _LENGTH.size, 1)
                with socket.socket(fileno=descriptors[0]) if descriptors else _nothing() as connection:
                    data = await _read_exactly(channel, *_LENGTH.unpack(head))
                    connection.setblocking(False)
                    await adopt(connection.dup(), data)
                await loop.sock_sendall(channel, _TAKEN)


def _nothing() -> socket.socket:
    raise ConnectionResetError("no connection came with the offer")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _readable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def tell() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(channel, tell)
    try:
        await readable
    finally:
        loop.remove_reader(channel)


async def _read_exactly(channel: socket.socket, size_bytes: int) -> bytes:
    if size_bytes > FIRST_READ_MAX_BYTES:
        raise ConnectionResetError("more than can have been read")
    data = b""
    while len(data) < size_bytes:
        part = await asyncio.get_running_loop().sock_recv(channel, size_bytes - len(data))
        if not part:
            raise ConnectionResetError("the other worker is gone")
        data += part
    return data
