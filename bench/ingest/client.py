"""A load client: sends bodies over many connections, one at a time each, as fast as they are answered or at a rate."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

SETTLING_S = 0.5
"""Between connecting and sending: the server has accepted all connections by then. Under load it takes them slowly."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Answers:
    """What came back."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: dict[int, list[float]] = field(default_factory=dict)
    """By status."""

    def percentile_ms(self, share: float, *, status: int = 200) -> float:
        """The latency that this share of the answers with a status was not slower than."""
        ordered = sorted(self.latencies_s[status])
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way; `on_free` is called when it is answered."""

    def __init__(self, answers: Answers, on_free: Callable[[_Connection], None], lost: asyncio.Future[None]) -> None:
        self._answers, self._on_free, self._lost = answers, on_free, lost
        self._received = b""
        self._since_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, request: bytes, since_s: float) -> None:
        """Send a request whose latency counts from `since_s`."""
        self._since_s = since_s
        self._transport.write(request)

    def close(self) -> None:
        self._lost.cancel()
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if not separator or found is None or len(body) < int(found[1]):
            return
        self._received = b""
        status = int(head[9:12])
        self._answers.statuses[status] += 1
        self._answers.latencies_s.setdefault(status, []).append(time.perf_counter() - self._since_s)
        self._on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_exception(exc or ConnectionError("the server closed the connection"))


def send_all(port: int, api_key: str, sent: Sequence[bytes], *, connections: int) -> Answers:
    """Send every body once, the next one as soon as one is answered; give what came back, and in what time."""
    return uvloop.run(_send_all(port, _prepared(api_key, sent), connections))


def send_at(port: int, api_key: str, sent: Sequence[bytes], *, requests_per_s: float, connections: int) -> Answers:
    """Send every body once, at this rate whatever comes back; latencies count from when a body was due."""
    return uvloop.run(_send_at(port, _prepared(api_key, sent), requests_per_s, connections))


def _prepared(api_key: str, sent: Sequence[bytes]) -> list[bytes]:
    head = (
        f"POST /api/ingest/readings HTTP/1.1\r\nHost: bench\r\nX-API-Key: {api_key}\r\nContent-Type: application/json"
    )
    return [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in sent]


async def _connect(
    port: int, answers: Answers, on_free: Callable[[_Connection], None], count: int
) -> tuple[list[_Connection], asyncio.Future[None]]:
    """Give so many connections, and what fails when one of them is lost."""
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[None] = loop.create_future()
    made = [_Connection(answers, on_free, lost) for _ in range(count)]
    for each in made:
        await loop.create_connection(lambda each=each: each, "127.0.0.1", port)
    await asyncio.sleep(SETTLING_S)
    return made, lost


async def _send_all(port: int, prepared: Sequence[bytes], count: int) -> Answers:
    answers, requests = Answers(), iter(prepared)
    finished = asyncio.Event()

    def send_next(connection: _Connection) -> None:
        request = next(requests, None)
        if request is not None:
            connection.send(request, time.perf_counter())
        elif answers.statuses.total() == len(prepared):
            finished.set()

    connections, lost = await _connect(port, answers, send_next, count)
    started_s = time.perf_counter()
    for each in connections:
        send_next(each)
    return await _finish(answers, connections, finished, lost, started_s)


async def _send_at(port: int, prepared: Sequence[bytes], requests_per_s: float, count: int) -> Answers:
    answers, finished = Answers(), asyncio.Event()
    due: deque[tuple[float, bytes]] = deque()
    idle: deque[_Connection] = deque()  # in turns, so that none is idle for so long that the server ends it

    def set_free(connection: _Connection) -> None:
        if due:
            since_s, request = due.popleft()
            connection.send(request, since_s)
        else:
            idle.append(connection)
        if answers.statuses.total() == len(prepared):
            finished.set()

    connections, lost = await _connect(port, answers, set_free, count)
    idle += connections
    started_s = time.perf_counter()
    for number, request in enumerate(prepared):
        due_s = started_s + number / requests_per_s
        await asyncio.sleep(due_s - time.perf_counter())
        if lost.done():
            break
        if idle:
            idle.popleft().send(request, due_s)
        else:
            due.append((due_s, request))
    return await _finish(answers, connections, finished, lost, started_s)


async def _finish(
    answers: Answers,
    connections: Sequence[_Connection],
    finished: asyncio.Event,
    lost: asyncio.Future[None],
    started_s: float,
) -> Answers:
    waiting = asyncio.ensure_future(finished.wait())
    await asyncio.wait((waiting, lost), return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        await lost
    answers.seconds = time.perf_counter() - started_s
    for each in connections:
        each.close()
    return answers
