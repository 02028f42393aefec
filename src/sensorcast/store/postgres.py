"""The store on PostgreSQL: the contracts of `store` kept with two writing sessions and a pool for queries.

Owns the queries and the life of its parts; writing is `postgres_writer` on top of `postgres_session`, rows are
`postgres_rows`, the server is `postgres_server`. The invariant: every query starts from the organization, and several
servers on one database keep the contract together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import asyncpg

from sensorcast.errors import Unavailable
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store import Bucket, ReadingPage
from sensorcast.store import postgres_expiry as expiry
from sensorcast.store.cursors import FROM_THE_START, decode_cursor, page_of
from sensorcast.store.healing import Healing
from sensorcast.store.postgres_rows import SELECT_READING, from_row
from sensorcast.store.postgres_series import select_samples, select_series
from sensorcast.store.postgres_server import is_lost, open_failure, open_pool, translate
from sensorcast.store.postgres_statements import PostgresStatements
from sensorcast.store.postgres_writer import PostgresWriter
from sensorcast.store.query_bounds import QueryBounds
from sensorcast.store.records import Records
from sensorcast.store.statements import T, Work

_READERS: Final = 8
"""Queries that run at the same time; PostgreSQL gives each a process, so not many more than its cores."""

_TRIES: Final = 3
"""A connection of the pool may have died while it was idle, as may the next one; a query changes nothing."""

_NEWEST: Final = (
    f"{SELECT_READING} FROM organizations AS o JOIN units AS u USING (organization_no) CROSS JOIN LATERAL "  # noqa: S608
    "(SELECT * FROM readings AS n WHERE n.unit_no = u.unit_no "
    "ORDER BY n.recorded_at_us DESC, n.device_id DESC LIMIT 1) AS r"
)
_NEWEST_OF_ALL: Final = f"{_NEWEST} ORDER BY r.recorded_at_us DESC LIMIT $1"
_NEWEST_OF_ORGANIZATION: Final = (
    f"{_NEWEST} WHERE o.organization_id = $1 AND u.unit_id > $2 ORDER BY u.unit_id LIMIT $3"
)
_NEWEST_OF_THESE: Final = (
    f"{_NEWEST} WHERE o.organization_id = $1 AND u.unit_id > $2 AND u.unit_id = ANY($4::text[]) "
    "ORDER BY u.unit_id LIMIT $3"
)
_HISTORY: Final = (
    f"{SELECT_READING} FROM organizations AS o JOIN units AS u USING (organization_no) JOIN readings AS r "
    "USING (unit_no) WHERE o.organization_id = $1 AND u.unit_id = $2 AND r.recorded_at_us >= $3 "
    "AND r.recorded_at_us < $4 AND r.recorded_at_us <= $5 AND (r.recorded_at_us, r.device_id) < ($5, $6) "
    "ORDER BY r.recorded_at_us DESC, r.device_id DESC LIMIT $7"
)

_REWRITE_VERSION: Final = "UPDATE schema_version SET version = version"
"""A write that changes nothing."""


class PostgresStore(Records):
    """`Store` in one PostgreSQL database. `random` spreads the moments at which servers connect again."""

    def __init__(self, url: str, settings: Settings, *, random: Random | None = None) -> None:
        super().__init__(settings)
        self._url = url
        self._writer = PostgresWriter(url, settings, random=random or Random())  # noqa: S311 spreading, not secrets
        self._pool: Any = None
        self._bounds = QueryBounds()
        self._healing = Healing(lambda: self._writer.change(lambda connection: connection.execute(_REWRITE_VERSION)))

    async def open(self) -> None:
        try:
            await self._writer.start()
            self._pool = await open_pool(self._url, _READERS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError, OverflowError) as exc:
            raise open_failure(exc) from exc

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(pool.close(), 5)
            pool.terminate()
            await self._writer.close()

    async def append(self, readings: Sequence[Reading]) -> list[Verdict]:
        self._refuse_unless_open()
        return await self._writer.append(readings) if readings else []

    async def latest(self, *, limit: int) -> list[Reading]:
        return await self._select(_NEWEST_OF_ALL, limit)

    async def units(
        self, organization_id: str, *, after: str | None, limit: int, only: Sequence[str] | None = None
    ) -> list[Reading]:
        if only is None:
            return await self._select(_NEWEST_OF_ORGANIZATION, organization_id, after or "", limit)
        return await self._select(_NEWEST_OF_THESE, organization_id, after or "", limit, list(only))

    async def readings(
        self, organization_id: str, unit_id: str, *, start_us: int, end_us: int, limit: int, cursor: str | None
    ) -> ReadingPage:
        place = FROM_THE_START if cursor is None else decode_cursor(cursor)
        found = await self._select(_HISTORY, organization_id, unit_id, start_us, end_us, *place, limit + 1)
        return page_of(found, limit)

    async def series(
        self, organization_id: str, unit_id: str, *, measures: Sequence[str], start_us: int, end_us: int, bucket_us: int
    ) -> list[Bucket]:
        span = {"start_us": start_us, "end_us": end_us, "bucket_us": bucket_us}
        return await self.query(
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
        return await self.query(
            lambda connection: select_samples(connection, organization_id, unit_ids, measure, **span)
        )

    async def expire(self, *, before_us: int, limit: int) -> int:
        # Looked for on a connection of the pool, so that the writer spends its time on deleting only.
        partition = await self.query(lambda connection: expiry.old_partition(connection, before_us))
        if partition is not None:
            return await self.change(lambda connection: expiry.drop(connection, partition, before_us, limit))
        keys = await self.query(lambda connection: expiry.old_rows(connection, before_us, limit))
        if keys:
            return await self.change(lambda connection: expiry.delete(connection, keys, before_us, limit))
        if not await self.query(lambda connection: expiry.has_old_ids(connection, before_us)):
            return 0
        await self.change(lambda connection: expiry.forget_ids(connection, before_us, limit))
        return 1  # their readings were counted when the partition was dropped

    async def trouble(self) -> str | None:
        if self._pool is None:
            return "the store is closed"
        failure = self._writer.failure
        if failure is not None:
            self._healing.attempt()
        return failure

    async def _ask(self, work: Work[T]) -> T:
        return await self.query(lambda connection: work(PostgresStatements(connection)))

    async def _transact(self, work: Work[T]) -> T:
        return await self.change(lambda connection: work(PostgresStatements(connection)))

    async def _select(self, sql: str, *bindings: Any) -> list[Reading]:
        return [from_row(row) for row in await self.query(lambda connection: connection.fetch(sql, *bindings))]

    async def change(self, run: Callable[[Any], Awaitable[T]]) -> T:
        """Do `run` in a transaction of its own, after the commit give what it returns."""
        self._refuse_unless_open()
        result: T = await self._writer.change(run)
        return result

    async def query(self, query: Callable[[Any], Awaitable[T]]) -> T:
        """Run a query on a connection of the pool. Raises `Unavailable` when too many wait or the server is away."""
        self._refuse_unless_open()
        with self._bounds.place():
            try:
                return await self._try(query)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
                raise translate(exc) from exc

    async def _try(self, query: Callable[[Any], Awaitable[T]]) -> T:
        for _ in range(_TRIES - 1):
            try:
                return await self._run(query)
            except Exception as exc:
                # What has waited for its whole time would wait again, and cost the server as much each time.
                if isinstance(exc, TimeoutError) or not is_lost(exc):
                    raise
        return await self._run(query)

    async def _run(self, query: Callable[[Any], Awaitable[T]]) -> T:
        pool = self._refuse_unless_open()
        async with pool.acquire() as connection:
            return await query(connection)

    def _refuse_unless_open(self) -> Any:
        if self._pool is None:
            raise Unavailable("the store is closed", retry_after_s=5)
        return self._pool
