"""The one writer: a thread that owns the writing connection, every commit and every checkpoint.

Owns the queue of accepted work. The invariant: a caller gets an answer only after the commit that holds its work
reached the disk (or after it surely failed). All appends that wait at one moment share one transaction and one fsync;
one that cannot be stored fails alone. The queue is bounded by readings and by bytes; beyond that `submit` refuses.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import structlog

from sensorcast.errors import SensorcastError, Unavailable
from sensorcast.metrics import INGEST_QUEUE_READINGS, STORE_COMMIT_READINGS, STORE_COMMIT_SECONDS
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store.sqlite_file import open_writer, translate
from sensorcast.store.sqlite_rows import UnitNumbers, insert_judged, insert_new, to_row

_GROUP_MAX_READINGS: Final = 5_000
"""Readings after which a group commit takes no further request: about 50 ms, so that the first need not wait long."""

_CHECKPOINT_PAGES: Final = 4_000
"""Pages (16 MiB) in the write-ahead log after which it is copied into the database, between two commits."""

_IDLE_S: Final = 1.0
"""Quiet time after which the log is copied as well, so that a restart after a crash has little to read."""

_READING_BYTES: Final = 400
_METRIC_BYTES: Final = 150
"""What a reading and each of its metrics take in memory, roughly and rather too much: for the queue's bound."""

_log = structlog.get_logger(__name__)


class _Append:
    """Readings on their way to the disk, and who waits for them."""

    __slots__ = ("bytes", "future", "readings")

    def __init__(self, readings: Sequence[Reading], future: asyncio.Future[list[Verdict]]) -> None:
        self.readings = readings
        self.future = future
        self.bytes = sum(_READING_BYTES + _METRIC_BYTES * len(reading.metrics or ()) for reading in readings)


class _Change:
    """Any other write, run in a transaction of its own."""

    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[apsw.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.run = run
        self.future = future


_Outcome = tuple[_Append | _Change, Any]
_CLOSE: Final = None


class SqliteWriter:
    """Start with `start`, hand in work with `append` and `change` (from the event loop only), end with `close`."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.failure: str | None = None
        """Why the last write failed for a reason that concerns all writes; None when writes work."""
        self._path = path
        self._settings = settings
        self._queue: queue.SimpleQueue[_Append | _Change | None] = queue.SimpleQueue()
        self._queued_readings = 0  # touched by the event loop only, like _queued_bytes
        self._queued_bytes = 0
        self._connection: apsw.Connection | None = None
        self._log_pages = 0
        self._closing = False

    async def start(self) -> None:
        """Open the database and start the thread. Raises apsw errors, `OSError` or `ConfigurationError`."""
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(None, self._open)
        # A daemon: a process that dies with an error must not hang on a queue nobody closes.
        self._thread = threading.Thread(target=self._work, name="sensorcast-sqlite-writer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Commit what is queued, copy the log into the database, close the connection."""
        if self._closing:
            return
        self._closing = True
        self._queue.put(_CLOSE)
        await self._loop.run_in_executor(None, self._thread.join)

    def append(self, readings: Sequence[Reading]) -> asyncio.Future[list[Verdict]]:
        """Queue readings for the next group commit. Raises `Unavailable` when the queue is full."""
        self._refuse_when_closed()
        job = _Append(readings, self._loop.create_future())
        settings, waiting = self._settings, self._queued_readings
        # A request larger than the whole bound must still be possible: it is taken when nothing else waits.
        if waiting and waiting + len(readings) > settings.queue_max_readings:
            raise _queue_full(f"{settings.queue_max_readings} readings (setting queue_max_readings)")
        if waiting and self._queued_bytes + job.bytes > settings.queue_max_bytes:
            raise _queue_full(f"{settings.queue_max_bytes} bytes (setting queue_max_bytes)")
        self._count(len(readings), job.bytes)
        self._queue.put(job)
        return job.future

    def change(self, run: Callable[[apsw.Connection], Any]) -> asyncio.Future[Any]:
        """Queue `run` for a transaction of its own; the future gets what it returns, after the commit."""
        self._refuse_when_closed()
        job = _Change(run, self._loop.create_future())
        self._queue.put(job)
        return job.future

    def _refuse_when_closed(self) -> None:
        if self._closing:
            raise Unavailable("the store is closed", retry_after_s=5)

    def _count(self, readings: int, size: int) -> None:
        self._queued_readings += readings
        self._queued_bytes += size
        INGEST_QUEUE_READINGS.set(self._queued_readings)

    # Everything below runs in the writer's thread, `_deliver` excepted.

    def _work(self) -> None:
        closing = False
        while not closing:
            group, closing = self._take_group()
            outcomes = self._run(group)
            try:
                self._loop.call_soon_threadsafe(self._deliver, outcomes)
            except RuntimeError:  # the loop is gone, and with it everybody who waits
                break
            if self._log_pages >= _CHECKPOINT_PAGES or (self._log_pages and not group):
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._shut()

    def _take_group(self) -> tuple[list[_Append | _Change], bool]:
        """Wait for work; give all that waits, up to the group's bound, and whether to close after it."""
        group: list[_Append | _Change] = []
        readings = 0
        try:
            job = self._queue.get(timeout=_IDLE_S if self._log_pages else None)
            while job is not _CLOSE:
                group.append(job)
                readings += len(job.readings) if isinstance(job, _Append) else 0
                if readings >= _GROUP_MAX_READINGS:
                    return group, False
                job = self._queue.get_nowait()
        except queue.Empty:
            return group, False
        return group, True

    def _run(self, group: Sequence[_Append | _Change]) -> list[_Outcome]:
        """Do the work of a group; give each job with its result or its error."""
        appends = [job for job in group if isinstance(job, _Append)]
        outcomes: list[_Outcome] = list(self._append_together(appends)) if appends else []
        return outcomes + [(job, self._attempt(job.run)) for job in group if isinstance(job, _Change)]

    def _append_together(self, appends: Sequence[_Append]) -> list[_Outcome]:
        readings = [reading for job in appends for reading in job.readings]
        started = time.perf_counter()
        result = self._attempt(lambda connection: self._insert(connection, readings))
        if isinstance(result, BaseException):
            if len(appends) == 1 or isinstance(result, Unavailable):
                return [(job, result) for job in appends]
            # One of them is poisonous or too big for the disk: each alone, so that only that one fails.
            return [outcome for job in appends for outcome in self._append_together([job])]
        STORE_COMMIT_SECONDS.observe(time.perf_counter() - started)
        STORE_COMMIT_READINGS.observe(len(readings))
        verdicts = iter(result)
        return [(job, [next(verdicts) for _ in job.readings]) for job in appends]

    def _insert(self, connection: apsw.Connection, readings: Sequence[Reading]) -> list[Verdict]:
        rows = [to_row(reading, self._numbers) for reading in readings]
        if insert_new(connection, rows):
            return [Verdict.STORED] * len(rows)
        connection.execute("ROLLBACK")
        self._numbers.forget()
        connection.execute("BEGIN IMMEDIATE")
        return insert_judged(connection, [to_row(reading, self._numbers) for reading in readings])

    def _attempt(self, run: Callable[[apsw.Connection], Any]) -> Any:
        """Run in one transaction and commit it; give its result, or the error as a value."""
        try:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            result = run(connection)
            connection.execute("COMMIT")
        except apsw.Error as exc:
            return self._failed(exc)
        except Exception as exc:
            self._roll_back()
            return exc
        self.failure = None
        return result

    def _failed(self, error: apsw.Error) -> Exception:
        self._roll_back()
        if isinstance(error, apsw.ConstraintError | apsw.MismatchError | apsw.TooBigError | apsw.RangeError):
            return error  # about this piece of work, not about the database
        meaning = translate(error)
        if self.failure != meaning.message:
            _log.error("store_write_failed", reason=meaning.message, detail=str(error))
        self.failure = meaning.message
        if not isinstance(error, apsw.BusyError | apsw.LockedError | apsw.FullError):
            self._drop_connection()
        return meaning

    def _roll_back(self) -> None:
        if self._connection is None:
            return
        self._numbers.forget()
        try:
            if self._connection.in_transaction:  # SQLite ends it by itself after some errors
                self._connection.execute("ROLLBACK")
        except apsw.Error as exc:
            _log.error("store_rollback_failed", detail=str(exc))
            self._drop_connection()

    def _open(self) -> apsw.Connection:
        connection = open_writer(self._path, self._settings.store_busy_timeout_ms)
        connection.set_wal_hook(self._committed)
        self._connection = connection
        self._numbers = UnitNumbers(connection)
        return connection

    def _committed(self, _connection: apsw.Connection, _database: str, log_pages: int) -> int:
        self._log_pages = log_pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: int) -> None:
        self._log_pages = 0  # until the next commit says otherwise: a failing checkpoint is not tried in a loop
        if self._connection is None:
            return
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.Error as exc:  # nothing is lost: the log keeps what could not be copied
            _log.warning("store_checkpoint_failed", detail=str(exc))

    def _shut(self) -> None:
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)

    def _deliver(self, outcomes: Sequence[_Outcome]) -> None:
        """On the event loop: answer everybody who still waits, and free their places in the queue."""
        for job, result in outcomes:
            if isinstance(job, _Append):
                self._count(-len(job.readings), -job.bytes)
            if job.future.done():  # the caller was cancelled meanwhile; its work is done all the same
                continue
            if isinstance(result, BaseException):
                job.future.set_exception(_own(result))
            else:
                job.future.set_result(result)


def _own(error: BaseException) -> BaseException:
    """Give each waiting caller an error object of its own, so that their tracebacks do not mix."""
    if not isinstance(error, SensorcastError):
        return error
    return type(error)(error.message, hint=error.hint, retry_after_s=error.retry_after_s)


def _queue_full(limit: str) -> Unavailable:
    return Unavailable(f"the store's queue is full: {limit}", hint="Slow down and try again.", retry_after_s=1)
