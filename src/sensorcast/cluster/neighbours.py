"""Requests to the other workers of this machine: HTTP over the Unix sockets in their private folder.

Owns the client side. The other end is our own server, so this reads just what that writes: a head, then a body of
known length. The invariants: nothing is read beyond a limit or waited for beyond a time, and a worker that is not
there, hangs or dies midway is an `OSError`, never anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from sensorcast.cluster.worker import Worker

CONNECT_TIMEOUT_S: Final = 2.0
ASK_TIMEOUT_S: Final = 2.0
"""For an answer that a worker has at hand: beyond it the worker is as good as not there."""
ANSWER_MAX_BYTES: Final = 4 * 1024 * 1024
_HEAD_MAX_BYTES: Final = 64 * 1024


class Answer(NamedTuple):
    """The head of an answer; the body follows on the connection."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    body_bytes: int


@asynccontextmanager
async def connection(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a worker's socket. Raises `OSError` when nobody is there."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        reader, writer = await asyncio.open_unix_connection(path, limit=_HEAD_MAX_BYTES)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read the head of an answer. Raises `OSError` when it does not come, or is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head[:-4].split(b"\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        return Answer(int(status_line.split(b" ")[1]), headers, int(dict(headers).get(b"content-length", b"0")))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as exc:
        raise ConnectionResetError(f"no answer: {exc}") from exc


class Neighbours:
    """The other workers, asked all at once."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    async def ask(self, target: str) -> Mapping[int, bytes]:
        """Give the answer of each other worker to GET `target`; those that do not answer well in time are left out."""
        others = self.worker.others
        answers = await asyncio.gather(*(self._ask_one(index, target) for index in others))
        return {index: body for index, body in zip(others, answers, strict=True) if body is not None}

    async def _ask_one(self, index: int, target: str) -> bytes | None:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S), connection(self.worker.http_path(index)) as (reader, writer):
                writer.write(f"GET {target} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n".encode())
                answer = await read_answer(reader)
                if answer.status != 200 or answer.body_bytes > ANSWER_MAX_BYTES:
                    return None
                return await reader.readexactly(answer.body_bytes)
        except (OSError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
            return None
