"""The course of a load test: everybody connects, readings are sent at a rate, what is under way arrives, the report.

Owns the order and the pace. The invariant: sending begins only when every client is joined, so what is missing at the
end is lost; and the generator never holds more than one request under way, so it cannot flood a server that is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import msgspec

from sensorcast.errors import Unavailable
from sensorcast.loadtest.connection import Connection, Refused, Target, connect
from sensorcast.loadtest.server_cpu import ServerCpu
from sensorcast.loadtest.tally import METRIC, Report, Tally

IN_FLIGHT: Final = 100
"""Connections being made at a time."""
TRIES: Final = 60
RETRY_S: Final = 1.0
"""A server that is full, or takes only so many handshakes a second, is asked again this much later."""
SEND_EVERY_S: Final = 0.1
REQUEST_MAX_READINGS: Final = 1_000
DRAIN_S: Final = 5.0
"""How long after the last reading deliveries are waited for."""
PROGRESS_S: Final = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `run_id` makes the units of this test its own."""

    url: str
    key: str
    token: str
    run_id: str
    clients: int
    units: int
    rate: float
    """Readings a second, of all units together."""
    duration_s: float


OnProgress = Callable[[str], None]


class LoadTest:
    """One test. `clock_s` gives seconds since 1970; progress lines go to `on_progress`."""

    def __init__(self, plan: Plan, *, clock_s: Callable[[], float], on_progress: OnProgress) -> None:
        self._plan = plan
        self._target = Target.of(plan.url)
        self._clock_s = clock_s
        self._on_progress = on_progress
        self._tally = Tally(f"loadtest-{plan.run_id}-")
        self._connections: list[Connection] = []
        self._trouble = ""

    async def run(self) -> Report:
        """Do it. Raises `Unavailable` when not every client could connect."""
        loop = asyncio.get_running_loop()
        try:
            async with _beside(self._tell()):
                await self._connect_all()
                cpu = ServerCpu(self._target.host, self._target.port)
                began_s = loop.time()
                await self._send()
                seconds = loop.time() - began_s
                used_s = cpu.used_s()
                await self._drain()
            cores = None if used_s is None else used_s / seconds
            return self._tally.report(self._connections, seconds=seconds, server_cpu=cores)
        finally:
            for connection in self._connections:
                connection.close()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            lost = sum(each.is_lost for each in self._connections)
            self._on_progress(
                f"clients {len(self._connections)}/{self._plan.clients} (lost {lost})  sent {self._tally.sent}  "
                f"accepted {len(self._tally.accepted)}  delivered {self._tally.delivered}  "
                f"p50 {self._tally.percentile_ms(0.5):.0f} ms  p99 {self._tally.percentile_ms(0.99):.0f} ms"
                f"{'  ' + self._trouble if self._trouble else ''}"
            )

    async def _connect_all(self) -> None:
        free = asyncio.Semaphore(IN_FLIGHT)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._plan.clients):
                    tasks.create_task(self._connect_one(free))
        except* (Refused, OSError) as group:
            raise Unavailable(f"not every client could connect: {group.exceptions[0]}") from None

    async def _connect_one(self, free: asyncio.Semaphore) -> None:
        for tries_left in reversed(range(TRIES)):
            try:
                async with free:
                    connection = await connect(self._target, self._plan.token, self._arrived)
            except Refused as refused:
                if not refused.retry or not tries_left:
                    raise
                self._trouble = str(refused)
                await asyncio.sleep(RETRY_S)
            else:
                self._connections.append(connection)
                return

    def _arrived(self, connection: Connection, payload: bytes) -> None:
        self._tally.arrived(connection, payload, asyncio.get_running_loop().time())

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        self._trouble = ""
        began_s, sent = loop.time(), 0
        async with httpx.AsyncClient(base_url=self._plan.url, headers={"X-API-Key": self._plan.key}) as http:
            while (elapsed_s := loop.time() - began_s) < self._plan.duration_s:
                due = min(int(elapsed_s * self._plan.rate) + 1 - sent, REQUEST_MAX_READINGS)
                if due > 0:
                    await self._post(http, due)
                    sent += due
                await asyncio.sleep(SEND_EVERY_S)

    async def _post(self, http: httpx.AsyncClient, count: int) -> None:
        numbers = self._tally.take_numbers(count, asyncio.get_running_loop().time())
        body = msgspec.json.encode({"readings": [self._reading(number) for number in numbers]})
        try:
            answer = await http.post("/api/ingest/readings", content=body, headers={"Content-Type": "application/json"})
            answer.raise_for_status()
            reading_ids = answer.json()["readingIds"]
        except httpx.HTTPError as exc:
            self._trouble = f"ingestion: {exc}"
            return
        self._tally.accepted.update(number for number, given in zip(numbers, reading_ids, strict=True) if given)

    def _reading(self, number: int) -> dict[str, object]:
        # A microsecond each apart, so that two readings of one unit in one request are not the same reading.
        recorded_at = datetime.fromtimestamp(self._clock_s(), UTC) + timedelta(microseconds=number % 1_000)
        return {
            "unitId": f"{self._tally.unit_prefix}{number % self._plan.units}",
            "recordedAt": recorded_at.isoformat(timespec="microseconds"),
            "metrics": {METRIC: number},
        }

    async def _drain(self) -> None:
        living = sum(not each.is_lost for each in self._connections)
        for _ in range(round(DRAIN_S / SEND_EVERY_S)):
            if self._tally.delivered >= living * len(self._tally.accepted):
                break
            await asyncio.sleep(SEND_EVERY_S)


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do `work` for as long as the context lasts."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
