"""A load client: keeps so many connections busy with one request each until every body is answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Answers:
    """What came back."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        """The latency that this share of the answers was not slower than."""
        ordered = sorted(self.latencies_s)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], answers: Answers, done: asyncio.Future[None]) -> None:
        self._requests, self._answers, self._done = requests, answers, done
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if not separator or found is None or len(body) < int(found[1]):
            return
        self._received = b""
        self._answers.statuses[int(head[9:12])] += 1
        self._answers.latencies_s.append(time.perf_counter() - self._sent_s)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._done.set_result(None)
            self._transport.close()
            return
        self._sent_s = time.perf_counter()
        self._transport.write(request)


def send_all(port: int, api_key: str, sent: Sequence[bytes], *, connections: int) -> Answers:
    """Send every body once; give what came back, and in what time."""
    head = (
        f"POST /api/ingest/readings HTTP/1.1\r\nHost: bench\r\nX-API-Key: {api_key}\r\nContent-Type: application/json"
    )
    prepared = [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in sent]
    return uvloop.run(_send_all(port, prepared, connections))


async def _send_all(port: int, prepared: Sequence[bytes], connections: int) -> Answers:
    loop, answers, requests = asyncio.get_running_loop(), Answers(), iter(prepared)
    started_s = time.perf_counter()
    endings: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done = loop.create_future()
        endings.append(done)
        await loop.create_connection(lambda done=done: _Connection(requests, answers, done), "127.0.0.1", port)
    await asyncio.gather(*endings)
    answers.seconds = time.perf_counter() - started_s
    return answers
