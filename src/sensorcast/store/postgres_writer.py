"""The one writer to PostgreSQL: a task that owns the writing session.

Owns group commit. The invariant: a caller gets an answer only after the commit that holds its work is on the server's
disk, or after it surely failed. All appends that wait at one moment share one transaction; one that cannot be stored
fails alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any, Final

import asyncpg
import structlog

from sensorcast.errors import SensorcastError, Unavailable
from sensorcast.metrics import STORE_COMMIT_READINGS, STORE_COMMIT_SECONDS
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store.postgres_rows import KnownReadings, Row, insert_new, judge, to_row
from sensorcast.store.postgres_server import migrate
from sensorcast.store.postgres_session import PostgresSession, Work, forget_old_marks
from sensorcast.store.postgres_units import Partitions, UnitNumbers
from sensorcast.store.write_bounds import GROUP_MAX_READINGS, READING_BYTES, WriteBounds, memory_bytes

_RACES_MAX: Final = 8
"""Times in a row in which another server may be faster with the same readings."""

_log = structlog.get_logger(__name__)


class _Job:
    """Work, how much it is, and who waits for it; `readings` or `run`."""

    __slots__ = ("bytes", "future", "readings", "run", "weight")

    def __init__(self, readings: Sequence[Reading], run: Work | None, future: asyncio.Future[Any]) -> None:
        self.readings = readings
        self.run = run
        self.future = future
        self.weight = len(readings) or 1
        self.bytes = memory_bytes(readings) or READING_BYTES


class PostgresWriter:
    """Start with `start`, hand in work with `append` and `change`, end with `close`."""

    def __init__(self, url: str, settings: Settings, *, random: Random) -> None:
        self._session = PostgresSession(url, random=random)
        self._bounds = WriteBounds(settings)
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._numbers = UnitNumbers()
        self._partitions = Partitions()
        self._task: asyncio.Task[None] | None = None

    @property
    def failure(self) -> str | None:
        """Why the last write failed for a reason that concerns all writes; None when writes work."""
        return self._session.failure

    async def start(self) -> None:
        """Connect, bring the schema up to date and start the task. Raises asyncpg errors, `OSError` and others."""
        connection = await self._session.open()
        try:
            await migrate(connection)
            await forget_old_marks(connection)
            if await connection.fetchval("SHOW fsync") != "on":
                _log.warning("database_without_fsync", meaning="a power failure may lose acknowledged readings")
        except BaseException:
            self._session.close()
            raise
        self._task = asyncio.create_task(self._work(), name="sensorcast-postgres-writer")

    async def close(self) -> None:
        """Commit what is queued, then disconnect."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
            self._task = None
        self._session.close()

    def append(self, readings: Sequence[Reading]) -> asyncio.Future[list[Verdict]]:
        """Queue readings for the next group commit. Raises `Unavailable` when the queue is full."""
        return self._submit(_Job(readings, None, asyncio.get_running_loop().create_future()))

    def change(self, run: Work) -> asyncio.Future[Any]:
        """Queue `run` for a transaction of its own; the future gets what it returns, after the commit."""
        return self._submit(_Job((), run, asyncio.get_running_loop().create_future()))

    def _submit(self, job: _Job) -> asyncio.Future[Any]:
        if self._closing:
            raise Unavailable("the store is closed", retry_after_s=5)
        self._bounds.take(job.weight, job.bytes)
        self._jobs.append(job)
        self._arrived.set()
        return job.future

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._jobs:
                group = self._take_group()
                try:
                    await self._run(group)
                except Exception as exc:  # a fault of ours must not end the task and leave everybody waiting
                    _log.exception("store_writer_fault")
                    self._deliver(group, [exc] * len(group))
            if self._closing:
                return

    def _take_group(self) -> list[_Job]:
        """Take the appends that wait, up to the group's bound, or the one change that is next."""
        group = [self._jobs.popleft()]
        weight = group[0].weight
        while group[0].run is None and self._jobs and self._jobs[0].run is None and weight < GROUP_MAX_READINGS:
            group.append(self._jobs.popleft())
            weight += group[-1].weight
        return group

    async def _run(self, group: Sequence[_Job]) -> None:
        run = group[0].run
        if run is not None:
            self._deliver(group, [await self._change(run)])
            return
        readings = [reading for job in group for reading in job.readings]
        started_s = time.perf_counter()
        result = await self._append(readings)
        if not isinstance(result, BaseException):
            STORE_COMMIT_SECONDS.observe(time.perf_counter() - started_s)
            STORE_COMMIT_READINGS.observe(len(readings))
            verdicts = iter(result)
            self._deliver(group, [[next(verdicts) for _ in job.readings] for job in group])
        elif len(group) == 1 or isinstance(result, Unavailable):
            self._deliver(group, [result] * len(group))
        else:  # one of them is poisonous or too big for the disk: each alone, so that only that one fails
            for job in group:
                await self._run([job])

    async def _change(self, run: Work) -> Any:
        try:
            return await self._session.run(run)
        except Exception as exc:
            return exc

    def _deliver(self, group: Sequence[_Job], results: Sequence[Any]) -> None:
        """Answer everybody who still waits, and free their places in the queue."""
        for job, result in zip(group, results, strict=True):
            if job.future.done():  # the caller was cancelled meanwhile; its work is done all the same
                pass
            elif isinstance(result, BaseException):
                job.future.set_exception(_own(result))
            else:
                job.future.set_result(result)
            self._bounds.free(job.weight, job.bytes)

    async def _append(self, readings: Sequence[Reading]) -> Any:
        """Insert all as new, as almost all are; else judge each, in another transaction. Errors come as values."""
        insert = self._insert
        for _ in range(_RACES_MAX):
            try:
                return await self._session.run(partial(insert, readings), prepare=partial(self._prepare, readings))
            except KnownReadings:
                insert = self._insert_judged
            except asyncpg.CheckViolationError:  # another server dropped a partition that we know
                self._partitions.forget()
            except Exception as exc:
                return exc
        return Unavailable("other servers store the same readings", retry_after_s=1)

    async def _prepare(self, readings: Sequence[Reading], connection: Any) -> None:
        await self._numbers.learn(connection, {reading.unit_key for reading in readings})
        await self._partitions.make(connection, {reading.recorded_at_us for reading in readings})

    async def _insert(self, readings: Sequence[Reading], connection: Any) -> list[Verdict]:
        await insert_new(connection, self._rows(readings))
        return [Verdict.STORED] * len(readings)

    async def _insert_judged(self, readings: Sequence[Reading], connection: Any) -> list[Verdict]:
        rows = self._rows(readings)
        verdicts = await judge(connection, rows)
        new = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict is Verdict.STORED]
        if new:
            await insert_new(connection, new)
        return verdicts

    def _rows(self, readings: Sequence[Reading]) -> list[Row]:
        return [to_row(reading, self._numbers[reading.unit_key]) for reading in readings]


def _own(error: BaseException) -> BaseException:
    """Give each waiting caller an error object of its own, so that their tracebacks do not mix."""
    if not isinstance(error, SensorcastError):
        return error
    return type(error)(error.message, hint=error.hint, retry_after_s=error.retry_after_s)
