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
    def __init__(self, requests: Iterator[bytes], answers: Answers, done: asyncio.Future[None]) -> None:
        self._requests, self._answers, self._done = requests, answers, done
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def begin(self) -> None:
        """Send the first request."""
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if not separator or found is None or len(body) < int(found[1]):
            return
        self._received = b""
        status = int(head[9:12])
        self._answers.statuses[status] += 1
        self._answers.latencies_s.setdefault(status, []).append(time.perf_counter() - self._sent_s)
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
    endings: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    protocols = [_Connection(requests, answers, done) for done in endings]
    for protocol in protocols:
        await loop.create_connection(lambda protocol=protocol: protocol, "127.0.0.1", port)
    await asyncio.sleep(SETTLING_S)
    started_s = time.perf_counter()
    for protocol in protocols:
        protocol.begin()
    await asyncio.gather(*endings)
    answers.seconds = time.perf_counter() - started_s
    return answers
