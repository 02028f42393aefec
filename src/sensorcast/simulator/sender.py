"""Delivers measurements to a server's ingest route, like a good gateway: nothing lost, nothing twice, never pushing.

Owns the queue of what is not yet acknowledged and the ledger of what became of it. The invariant: a measurement
leaves the queue only when the server acknowledged or refused it, or when the queue is full and it is the oldest
(counted as dropped). Sending again is safe, because the server knows a reading by its natural key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

import httpx
import msgspec

from sensorcast.errors import SensorcastError
from sensorcast.simulator.fleet import Measurement

INGEST_PATH: Final = "/api/ingest/readings"
QUEUE_MAX_READINGS: Final = 100_000  # a day of 24 units measured twice a minute fits; about 50 MB
BATCH_MAX_READINGS: Final = 1_000
_TIMEOUT_S: Final = 15.0
_BACKOFF_FIRST_S: Final = 0.5
_BACKOFF_LONGEST_S: Final = 30.0
_WAIT_LONGEST_S: Final = 300.0  # a server asking for more is asked again after this
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504, 507})
_ENCODER: Final = msgspec.json.Encoder()


class Refused(SensorcastError):
    """The server will never take what this sender sends: wrong key, wrong address, or not our server."""

    code = "refused"


@dataclass(slots=True)
class Ledger:
    """What became of the measurements given to a sender."""

    offered: int = 0
    acknowledged: int = 0
    duplicates: int = 0
    rejected: int = 0
    dropped: int = 0
    retries: int = 0


class _Rejection(msgspec.Struct):
    index: int
    code: str
    message: str


class _Receipt(msgspec.Struct, rename="camel"):
    inserted_count: int
    duplicate_count: int = 0
    rejected: list[_Rejection] = []


class _Body(msgspec.Struct):
    readings: list[Measurement]


class Sender:
    """One connection's worth of delivery. Offer measurements, then `flush`; `ledger` says what became of them."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        api_key: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Random | None = None,
        queue_max_readings: int = QUEUE_MAX_READINGS,
    ) -> None:
        self.ledger = Ledger()
        self.last_rejection = ""
        self._client = client
        self._url = base_url.rstrip("/") + INGEST_PATH
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
        self._sleep = sleep
        self._rng = rng or Random()  # noqa: S311 - spreads retries, guards nothing
        self._queue: deque[Measurement] = deque()
        self._batch: list[Measurement] = []  # in flight; kept as it is until the server says what became of it
        self._queue_max_readings = queue_max_readings

    @property
    def waiting(self) -> int:
        """How many measurements are not acknowledged yet."""
        return len(self._batch) + len(self._queue)

    def offer(self, measured: Iterable[Measurement]) -> None:
        """Queue measurements; when the queue is full the oldest leave and are counted as dropped."""
        for item in measured:
            self.ledger.offered += 1
            self._queue.append(item)
            if len(self._queue) > self._queue_max_readings:
                self._queue.popleft()
                self.ledger.dropped += 1

    async def flush(self) -> None:
        """Send until the queue is empty, waiting as long as the server asks. Raises `Refused` when it is no use."""
        attempt = 0
        while self._batch or self._queue:
            wait_s = await self._send_once()
            if wait_s is None:
                attempt = 0
                continue
            self.ledger.retries += 1
            await self._sleep(max(wait_s, self._backoff_s(attempt)))
            attempt += 1

    async def _send_once(self) -> float | None:
        """Send the oldest batch. None: it is done; a number: wait at least that many seconds and send again."""
        if not self._batch:
            self._batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX_READINGS))]
        try:
            answer = await self._client.post(
                self._url, content=_ENCODER.encode(_Body(self._batch)), headers=self._headers, timeout=_TIMEOUT_S
            )
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError):
            # What they say may quote the key.
            raise Refused(
                f"{self._url} is no address of a server, or the key has characters that HTTP does not allow"
            ) from None
        except httpx.TransportError:
            return 0.0
        if answer.status_code in _TRY_AGAIN:
            return _retry_after_s(answer)
        if answer.status_code != 200:
            raise Refused(f"{self._url} answered {answer.status_code}: {_error_message(answer)}")
        self._settle(answer)
        return None

    def _settle(self, answer: httpx.Response) -> None:
        try:
            receipt = msgspec.json.decode(answer.content, type=_Receipt)
        except msgspec.DecodeError as exc:
            raise Refused(f"{self._url} does not answer like sensorcast: {exc}") from None
        self._batch = []
        self.ledger.acknowledged += receipt.inserted_count
        self.ledger.duplicates += receipt.duplicate_count
        self.ledger.rejected += len(receipt.rejected)
        if receipt.rejected:
            self.last_rejection = f"{receipt.rejected[0].code}: {receipt.rejected[0].message}"

    def _backoff_s(self, attempt: int) -> float:
        ceiling_s = min(_BACKOFF_LONGEST_S, _BACKOFF_FIRST_S * 2.0 ** min(attempt, 10))
        return ceiling_s * self._rng.uniform(0.5, 1.0)


def _retry_after_s(answer: httpx.Response) -> float:
    """Give the seconds the server asked us to wait; 0 when it did not say, or said it as a date."""
    try:
        return min(_WAIT_LONGEST_S, max(0.0, float(answer.headers.get("Retry-After", "0"))))
    except ValueError:
        return 0.0


def _error_message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
