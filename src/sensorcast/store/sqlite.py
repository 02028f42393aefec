"""The store on SQLite: the contracts of `store` kept with one writer thread and a few query-only readers.

Owns the queries and the life of its parts; writing is `sqlite_writer`, rows are `sqlite_rows`, the file is
`sqlite_file`. The invariant: no method blocks the event loop, and every query starts from the organization.
"""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import apsw

from sensorcast.errors import Unavailable
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store import Bucket, ReadingPage
from sensorcast.store.cursors import FROM_THE_START, decode_cursor, page_of
from sensorcast.store.healing import Healing
from sensorcast.store.query_bounds import QueryBounds
from sensorcast.store.records import Records
from sensorcast.store.sqlite_file import open_failure, open_reader, translate
from sensorcast.store.sqlite_rows import SELECT_READING, delete_old, from_row, units_with_old
from sensorcast.store.sqlite_series import select_samples, select_series
from sensorcast.store.sqlite_statements import run
from sensorcast.store.sqlite_writer import SqliteWriter
from sensorcast.store.statements import T, Work

_READERS: Final = 4
"""Queries that run at the same time. They wait for the disk rather than for a core, so a few more than cores."""

_NEWEST: Final = (
    f"{SELECT_READING} FROM organizations AS o JOIN units AS u USING (organization_no) JOIN readings AS r "  # noqa: S608
    "ON r.unit_no = u.unit_no AND (r.recorded_at_us, r.device_id) = (SELECT n.recorded_at_us, n.device_id "
    "FROM readings AS n WHERE n.unit_no = u.unit_no ORDER BY n.recorded_at_us DESC, n.device_id DESC LIMIT 1)"
)
_NEWEST_OF_ALL: Final = f"{_NEWEST} ORDER BY r.recorded_at_us DESC LIMIT ?"
_NEWEST_OF_ORGANIZATION: Final = f"{_NEWEST} WHERE o.organization_id = ? AND u.unit_id > ? ORDER BY u.unit_id LIMIT ?"
_NEWEST_OF_THESE: Final = (
    f"{_NEWEST} WHERE o.organization_id = ? AND u.unit_id > ? "  # noqa: S608 our names
    "AND u.unit_id IN (SELECT value FROM json_each(?)) "
    "ORDER BY u.unit_id LIMIT ?"
)
_HISTORY: Final = (
    f"{SELECT_READING} FROM organizations AS o JOIN units AS u USING (organization_no) JOIN readings AS r "
    "USING (unit_no) WHERE o.organization_id = :organization_id AND u.unit_id = :unit_id "
    # One upper bound and no second: SQLite begins its search at only one of two, maybe far above the page.
    "AND r.recorded_at_us >= :start_us AND (r.recorded_at_us, r.device_id) < (:behind_us, :behind_device) "
    "ORDER BY r.recorded_at_us DESC, r.device_id DESC LIMIT :limit"
)


class SqliteStore(Records):
    """Every contract of `store` in one SQLite file. Another process may open the same file, as the CLI does."""

    def __init__(self, path: Path, settings: Settings) -> None:
        super().__init__(settings)
        self._path = path
        self._writer = SqliteWriter(path, settings)
        self._readers: _Readers | None = None
        self._healing = Healing(lambda: self._writer.change(_rewrite_version))

    async def open(self) -> None:
        try:
            await self._writer.start()
        except (apsw.Error, OSError) as exc:
            raise open_failure(exc, self._path) from exc
        self._readers = _Readers(self._path, self._settings)

    async def close(self) -> None:
        readers, self._readers = self._readers, None
        if readers is not None:
            await readers.close()
            await self._writer.close()

    def append(self, readings: Sequence[Reading]) -> asyncio.Future[list[Verdict]]:
        self._refuse_unless_open()
        return self._writer.append(readings)

    async def latest(self, *, limit: int) -> list[Reading]:
        return await self._select(_NEWEST_OF_ALL, (limit,))

    async def units(
        self, organization_id: str, *, after: str | None, limit: int, only: Sequence[str] | None = None
    ) -> list[Reading]:
        if only is None:
            return await self._select(_NEWEST_OF_ORGANIZATION, (organization_id, after or "", limit))
        return await self._select(_NEWEST_OF_THESE, (organization_id, after or "", json.dumps(list(only)), limit))

    async def readings(
        self, organization_id: str, unit_id: str, *, start_us: int, end_us: int, limit: int, cursor: str | None
    ) -> ReadingPage:
        behind_us, behind_device = min(FROM_THE_START if cursor is None else decode_cursor(cursor), (end_us, ""))
        names = {"organization_id": organization_id, "unit_id": unit_id, "start_us": start_us}
        place = {"behind_us": behind_us, "behind_device": behind_device, "limit": limit + 1}
        found = await self._select(_HISTORY, names | place)
        return page_of(found, limit)

    async def series(
        self, organization_id: str, unit_id: str, *, measures: Sequence[str], start_us: int, end_us: int, bucket_us: int
    ) -> list[Bucket]:
        span = {"start_us": start_us, "end_us": end_us, "bucket_us": bucket_us}
        return await self._query(
            lambda connection: select_series(connection, (organization_id, unit_id), measures, **span)
        )

    async def samples(
        self,
        organization_id: str,
        unit_ids: Sequence[str],
        *,
        measure: str,
        start_us: int,
        end_us: int,
        bucket_us: int,
    ) -> dict[str, list[float | None]]:
        span = {"start_us": start_us, "end_us": end_us, "bucket_us": bucket_us}
        return await self._query(
            lambda connection: select_samples(connection, organization_id, unit_ids, measure, **span)
        )

    async def expire(self, *, before_us: int, limit: int) -> int:
        # Looked for by a reader, so that the writer spends its time on deleting only.
        units = await self._query(lambda connection: units_with_old(connection, before_us))
        if not units:
            return 0
        return await self._change(lambda connection: delete_old(connection, units, before_us, limit))

    async def trouble(self) -> str | None:
        if self._readers is None:
            return "the store is closed"
        failure = self._writer.failure
        if failure is not None:
            self._healing.attempt()
        return failure

    async def _ask(self, work: Work[T]) -> T:
        return await self._query(lambda connection: run(work, connection))

    async def _transact(self, work: Work[T]) -> T:
        return await self._change(lambda connection: run(work, connection))

    async def _select(self, sql: str, bindings: Any) -> list[Reading]:
        return await self._query(lambda connection: [from_row(row) for row in connection.execute(sql, bindings)])

    async def _query(self, query: Callable[[apsw.Connection], T]) -> T:
        return await self._refuse_unless_open().run(query)

    async def _change(self, run: Callable[[apsw.Connection], T]) -> T:
        self._refuse_unless_open()
        result: T = await self._writer.change(run)
        return result

    def _refuse_unless_open(self) -> _Readers:
        if self._readers is None:
            raise Unavailable("the store is closed", retry_after_s=5)
        return self._readers


class _Readers:
    """A few query-only connections, opened when first needed, each used by one thread at a time."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._idle: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="sensorcast-sqlite-reader")
        self._bounds = QueryBounds()

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Run a query in a thread. Raises `Unavailable` when too many wait or the database does not answer."""
        with self._bounds.place():
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._with_connection, query)

    async def close(self) -> None:
        """Wait for queries that run, then close the connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        while not self._idle.empty():
            self._idle.get().close()

    def _with_connection(self, query: Callable[[apsw.Connection], T]) -> T:
        try:
            connection = self._take()
            try:
                return query(connection)
            finally:
                self._idle.put(connection)
        except apsw.Error as exc:
            raise translate(exc) from exc

    def _take(self) -> apsw.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return open_reader(self._path, self._settings.store_busy_timeout_ms)


def _rewrite_version(connection: apsw.Connection) -> None:
    """Write without changing anything: the header page goes through the log to the disk like any other."""
    connection.pragma("user_version", connection.pragma("user_version"))
