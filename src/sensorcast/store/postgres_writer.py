"""The writer to PostgreSQL: two tasks, each with a session of its own, that take turns.

Owns group commit. The invariant: a caller gets an answer only after the commit that holds its work is on the server's
disk, or after it surely failed. All appends that wait at one moment share one transaction; one that cannot be stored
fails alone. While one group is on its way, the next is put together and sent: the server never waits for this process,
nor this process for the server. Work that must see what came before it, or hold up what comes after, runs alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from random import Random
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from sensorcast.errors import SensorcastError, Unavailable
from sensorcast.metrics import STORE_COMMIT_READINGS, STORE_COMMIT_SECONDS
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store.derived_ids import is_like_ours, sender_of
from sensorcast.store.postgres_rows import KnownReadings, Row, insert_new, judge, to_row
from sensorcast.store.postgres_server import migrate
from sensorcast.store.postgres_session import Outage, PostgresSession, Work, forget_old_marks
from sensorcast.store.postgres_units import Partitions, UnitNumbers
from sensorcast.store.write_bounds import GROUP_MAX_READINGS, READING_BYTES, WriteBounds, memory_bytes

_SESSIONS: Final = 2
"""Groups under way at the same time: one that is made or answered here, one that the server works on."""

_WORTH_A_COMMIT: Final = 500
"""Readings that take the server about as long as a commit does."""

_RACES_MAX: Final = 8
"""Times in a row in which another server may be faster with the same readings."""

_key: Final = attrgetter("organization_id", "unit_id", "device_id", "recorded_at_us")
_log = structlog.get_logger(__name__)


class _Job:
    """Work, how much it is, and who waits for it; `readings` or `run`."""

    __slots__ = ("all_derived", "alone", "bytes", "future", "keys", "readings", "run", "weight")

    def __init__(self, readings: Sequence[Reading], run: Work | None, future: asyncio.Future[Any]) -> None:
        self.readings = readings
        self.run = run
        self.future = future
        self.weight = len(readings) or 1
        self.bytes = memory_bytes(readings) or READING_BYTES
        given = {(each.organization_id, each.given_id) for each in readings if each.given_id is not None}
        self.keys: set[Any] = given.union(map(_key, readings))
        self.all_derived = not given
        self.alone = run is not None or any(is_like_ours(id) for _, id in given)


class _UnderWay(NamedTuple):
    """What a group under way is made of, for those that come after it."""

    keys: set[Any]
    alone: bool


class PostgresWriter:
    """Start with `start`, hand in work with `append` and `change`, end with `close`."""

    def __init__(self, url: str, settings: Settings, *, random: Random) -> None:
        self._outage = Outage()
        self._sessions = [PostgresSession(url, self._outage, random=random) for _ in range(_SESSIONS)]
        self._bounds = WriteBounds(settings)
        self._jobs: deque[_Job] = deque()
        self._waiting_readings = 0
        self._under_way: dict[PostgresSession, _UnderWay] = {}
        self._moved = asyncio.Event()
        self._closing = False
        self._numbers = UnitNumbers()
        self._partitions = Partitions()
        self._preparing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def failure(self) -> str | None:
        """Why the last write failed for a reason that concerns all writes; None when writes work."""
        return self._outage.failure

    async def start(self) -> None:
        """Connect, bring the schema up to date and start the tasks. Raises asyncpg errors, `OSError` and others."""
        session = self._sessions[0]
        connection = await session.open()
        try:
            await migrate(connection)
            await forget_old_marks(connection)
            if await connection.fetchval("SHOW fsync") != "on":
                _log.warning("database_without_fsync", meaning="a power failure may lose acknowledged readings")
        except BaseException:
            session.close()
            raise
        self._tasks = [
            asyncio.create_task(self._work(session), name=f"sensorcast-postgres-writer-{number}")
            for number, session in enumerate(self._sessions)
        ]

    async def close(self) -> None:
        """Commit what is queued, then disconnect."""
        self._closing = True
        self._moved.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
            self._tasks = []
        for session in self._sessions:
            session.close()

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
        self._waiting_readings += job.weight
        self._moved.set()
        return job.future

    async def _work(self, session: PostgresSession) -> None:
        while not self._closing or self._jobs:
            group = self._take_group()
            if not group:
                self._moved.clear()
                await self._moved.wait()
                continue
            self._under_way[session] = _UnderWay(set().union(*(job.keys for job in group)), group[0].alone)
            try:
                await self._run(session, group)
            except Exception as exc:  # a fault of ours must not end the task and leave everybody waiting
                _log.exception("store_writer_fault")
                self._deliver(group, [exc] * len(group))
            del self._under_way[session]
            self._moved.set()

    def _take_group(self) -> list[_Job]:
        """Take the appends that wait, up to the group's bound, or the one that runs alone; nothing if it is not time.

        What shares a reading with a group under way waits for it: two transactions with the same ones in another order
        would wait for each other.
        """
        group: list[_Job] = []
        weight, enough = 0, self._share()
        while self._jobs and weight < enough and self._may_start(self._jobs[0], group):
            group.append(self._jobs.popleft())
            weight += group[-1].weight
        self._waiting_readings -= weight
        return group

    def _share(self) -> float:
        """How many readings make a group: what waits, shared by the sessions that have nothing to do.

        Were all in one group, all their senders would be answered, and send again, at the same moment: this process and
        the server would take turns, each with nothing to do while the other works. Few are not worth a second commit.
        """
        idle = len(self._sessions) - len(self._under_way)
        return min(GROUP_MAX_READINGS, max(_WORTH_A_COMMIT, self._waiting_readings / idle))

    def _may_start(self, job: _Job, group: Sequence[_Job]) -> bool:
        if job.alone or (group and group[0].alone):
            return not group and not self._under_way
        return all(not other.alone and job.keys.isdisjoint(other.keys) for other in self._under_way.values())

    async def _run(self, session: PostgresSession, group: Sequence[_Job]) -> None:
        run = group[0].run
        if run is not None:
            self._deliver(group, [await self._change(session, run)])
            return
        readings = [reading for job in group for reading in job.readings]
        all_derived = all(job.all_derived for job in group)
        started_s = time.perf_counter()
        result = await self._append(session, readings, all_derived=all_derived)
        if not isinstance(result, BaseException):
            STORE_COMMIT_SECONDS.observe(time.perf_counter() - started_s)
            STORE_COMMIT_READINGS.observe(len(readings))
            verdicts = iter(result)
            self._deliver(group, [[next(verdicts) for _ in job.readings] for job in group])
        elif len(group) == 1 or isinstance(result, Unavailable):
            self._deliver(group, [result] * len(group))
        else:  # one of them is poisonous or too big for the disk: each alone, so that only that one fails
            for job in group:
                await self._run(session, [job])

    async def _change(self, session: PostgresSession, run: Work) -> Any:
        try:
            return await session.run(run)
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

    async def _append(self, session: PostgresSession, readings: Sequence[Reading], *, all_derived: bool) -> Any:
        """Insert all as new, as almost all are; else judge each, in another transaction. Errors come as values."""
        insert: Callable[..., Awaitable[list[Verdict]]] = _insert
        rows: list[Row] = []

        async def prepare(connection: Any) -> None:
            rows[:] = await self._rows(connection, readings)

        for _ in range(_RACES_MAX):
            work = partial(insert, rows=rows, readings=readings, all_derived=all_derived)
            try:
                return await session.run(work, prepare=prepare)
            except KnownReadings:
                insert = _insert_judged
            except asyncpg.CheckViolationError:  # another server dropped a partition that we know
                self._partitions.forget()
            except Exception as exc:
                return exc
        return Unavailable("other servers store the same readings", retry_after_s=1)

    async def _rows(self, connection: Any, readings: Sequence[Reading]) -> list[Row]:
        """Make the rows of readings, and whatever they need to be there before them."""
        async with self._preparing:  # what one group has learned must not be forgotten for another one's sake
            await self._numbers.learn(connection, set(map(sender_of, readings)))
            await self._partitions.make(connection, {reading.recorded_at_us for reading in readings})
            return [to_row(reading, self._numbers[sender_of(reading)]) for reading in readings]


async def _insert(
    connection: Any, *, rows: Sequence[Row], readings: Sequence[Reading], all_derived: bool
) -> list[Verdict]:
    await insert_new(connection, rows, readings, all_derived=all_derived)
    return [Verdict.STORED] * len(rows)


async def _insert_judged(
    connection: Any, *, rows: Sequence[Row], readings: Sequence[Reading], all_derived: bool
) -> list[Verdict]:
    verdicts = await judge(connection, rows, readings)
    new = [place for place, verdict in enumerate(verdicts) if verdict is Verdict.STORED]
    if new:
        new_rows, new_readings = [rows[place] for place in new], [readings[place] for place in new]
        await insert_new(connection, new_rows, new_readings, all_derived=all_derived)
    return verdicts


def _own(error: BaseException) -> BaseException:
    """Give each waiting caller an error object of its own, so that their tracebacks do not mix."""
    if not isinstance(error, SensorcastError):
        return error
    return type(error)(error.message, hint=error.hint, retry_after_s=error.retry_after_s)
