"""The one writer: a thread that owns the writing connection, every commit and every checkpoint.

Owns group commit. The invariant: a caller gets an answer only after the commit that holds its work reached the disk, or
after it surely failed. All appends that wait at one moment share one transaction and one fsync; one that cannot be
stored fails alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import structlog

from sensorcast.errors import ConfigurationError, SensorcastError, Unavailable
from sensorcast.metrics import STORE_COMMIT_READINGS, STORE_COMMIT_SECONDS
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store.sqlite_file import open_writer, translate
from sensorcast.store.sqlite_queue import Append, Change, Job, WriteQueue
from sensorcast.store.sqlite_rows import insert_judged, insert_new, to_row
from sensorcast.store.sqlite_turn import WriteTurns
from sensorcast.store.sqlite_units import UnitNumbers

_CHECKPOINT_PAGES: Final = 4_000
"""Pages (16 MiB) in the write-ahead log after which it is copied into the database, between two commits."""

_IDLE_S: Final = 1.0
"""Quiet time after which the log is copied as well, so that a restart after a crash has little to read."""

_ABOUT_THE_WORK: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)
"""Errors that say nothing about the database and do not concern other work."""

_PASSING: Final = (apsw.BusyError, apsw.LockedError, apsw.FullError)
"""Errors after which the connection itself is still good."""

Outcome = tuple[Job, Any]
_log = structlog.get_logger(__name__)


class SqliteWriter:
    """Start with `start`, hand in work with `append` and `change` (from the event loop only), end with `close`."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.failure: str | None = None
        """Why the last write failed for a reason that concerns all writes; None when writes work."""
        self._path = path
        self._settings = settings
        self._queue = WriteQueue(settings)
        self._connection: apsw.Connection | None = None
        self._turns: WriteTurns | None = None
        self._inode = 0
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
        if not self._closing:
            self._closing = True
            self._queue.end()
        await self._loop.run_in_executor(None, self._thread.join)

    def append(self, readings: Sequence[Reading]) -> asyncio.Future[list[Verdict]]:
        """Queue readings for the next group commit. Raises `Unavailable` when the queue is full."""
        future: asyncio.Future[list[Verdict]] = self._loop.create_future()
        if readings:
            self._submit(Append(readings, future))
        else:
            future.set_result([])
        return future

    def change(self, run: Callable[[apsw.Connection], Any]) -> asyncio.Future[Any]:
        """Queue `run` for a transaction of its own; the future gets what it returns, after the commit."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._submit(Change(run, future))
        return future

    def _submit(self, job: Job) -> None:
        if self._closing:
            raise Unavailable("the store is closed", retry_after_s=5)
        if self._queue.put(job):
            self._loop.call_soon(self._queue.hand_over)

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Answer everybody who still waits, and free their places in the queue."""
        self._queue.free([job for job, _ in outcomes])
        for job, result in outcomes:
            if job.future.done():  # the caller was cancelled meanwhile; its work is done all the same
                continue
            if isinstance(result, BaseException):
                job.future.set_exception(_own(result))
            else:
                job.future.set_result(result)

    # Everything below runs in the writer's thread.

    def _work(self) -> None:
        last = False
        while not last:
            group, last = self._queue.take_group(_IDLE_S if self._log_pages else None)
            outcomes = self._run(group)
            try:
                self._loop.call_soon_threadsafe(self._deliver, outcomes)
            except RuntimeError:  # the loop is gone, and with it everybody who waits
                break
            if self._log_pages >= _CHECKPOINT_PAGES or (self._log_pages and not group):
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._drop_connection()
        if self._turns is not None:
            self._turns.close()

    def _run(self, group: Sequence[Job]) -> list[Outcome]:
        """Do the work of a group; give each job with its result or its error."""
        appends = [job for job in group if isinstance(job, Append)]
        try:
            outcomes = self._append_together(appends) if appends else []
            return outcomes + [(job, self._attempt(job.run)) for job in group if isinstance(job, Change)]
        except Exception as exc:  # a fault of ours must not end the thread and leave everybody waiting
            _log.exception("store_writer_fault")
            return [(job, exc) for job in group]

    def _append_together(self, appends: Sequence[Append]) -> list[Outcome]:
        readings = [reading for job in appends for reading in job.readings]
        started_s = time.perf_counter()
        result = self._attempt(lambda connection: self._insert(connection, readings))
        if not isinstance(result, BaseException):
            STORE_COMMIT_SECONDS.observe(time.perf_counter() - started_s)
            STORE_COMMIT_READINGS.observe(len(readings))
            if result.count(Verdict.STORED) == len(result):
                return [(job, [Verdict.STORED] * job.weight) for job in appends]
            verdicts = iter(result)
            return [(job, [next(verdicts) for _ in job.readings]) for job in appends]
        if len(appends) == 1 or isinstance(result, Unavailable):
            return [(job, result) for job in appends]
        # One of them is poisonous or too big for the disk: each alone, so that only that one fails.
        return [outcome for job in appends for outcome in self._append_together([job])]

    def _insert(self, connection: apsw.Connection, readings: Sequence[Reading]) -> list[Verdict]:
        rows = [to_row(reading, self._numbers) for reading in readings]
        if insert_new(connection, rows, readings):
            return [Verdict.STORED] * len(rows)
        connection.execute("ROLLBACK")
        self._numbers.forget()
        connection.execute("BEGIN IMMEDIATE")
        return insert_judged(connection, [to_row(reading, self._numbers) for reading in readings], readings)

    def _attempt(self, run: Callable[[apsw.Connection], Any]) -> Any:
        """Run in one transaction and commit it, when it is our turn; give its result, or the error as a value."""
        if self._turns is None:
            return self._transact(run)
        with self._turns.turn():
            return self._transact(run)

    def _transact(self, run: Callable[[apsw.Connection], Any]) -> Any:
        try:
            connection = self._usable_connection()
            connection.execute("BEGIN IMMEDIATE")
            result = run(connection)
            connection.execute("COMMIT")
        except _ABOUT_THE_WORK as exc:
            self._roll_back()
            return exc
        except (apsw.Error, OSError, ConfigurationError) as exc:
            return self._failed(exc)
        except Exception as exc:
            self._roll_back()
            return exc
        self.failure = None
        return result

    def _failed(self, error: apsw.Error | OSError | ConfigurationError) -> SensorcastError:
        """Clean up after an error that concerns all writes, and say what it means to callers."""
        self._roll_back()
        meaning = translate(error)
        if self.failure != meaning.message:
            _log.error("store_write_failed", reason=meaning.message, detail=str(error))
        self.failure = meaning.message
        if not isinstance(error, _PASSING):
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

    def _usable_connection(self) -> apsw.Connection:
        """Give the connection, opened anew after an error. What went to a deleted file would be lost: not that one."""
        if self._connection is None and not self._path.exists():
            raise FileNotFoundError(f"{self._path} was removed while the server runs")
        connection = self._connection or self._open()
        if self._path.stat().st_ino != self._inode:
            raise FileNotFoundError(f"{self._path} was replaced while the server runs")
        return connection

    def _open(self) -> apsw.Connection:
        connection = open_writer(self._path, self._settings.store_busy_timeout_ms)
        connection.set_wal_hook(self._committed)
        self._connection = connection
        self._inode = self._path.stat().st_ino
        self._numbers = UnitNumbers(connection)
        if self._settings.workers > 1 and self._turns is None:
            self._turns = WriteTurns(self._path, self._settings.store_busy_timeout_ms / 1_000)
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
        except apsw.BusyError:
            pass  # another process is at work on the database, and copies the log as well
        except apsw.Error as exc:  # nothing is lost: the log keeps what could not be copied
            _log.warning("store_checkpoint_failed", detail=str(exc))

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close(force=True)
        except apsw.Error as exc:  # closing copies the log, too; what could not be copied stays in the log
            _log.warning("store_close_failed", detail=str(exc))


def _own(error: BaseException) -> BaseException:
    """Give each waiting caller an error object of its own, so that their tracebacks do not mix."""
    if not isinstance(error, SensorcastError):
        return error
    return type(error)(error.message, hint=error.hint, retry_after_s=error.retry_after_s)
