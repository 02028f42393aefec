"""Old readings deleted from PostgreSQL: whole partitions where all is old, rows of the one in which the line falls.

The invariant: a step is short. Dropping a partition frees its space at once and costs the same however large it is.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from sensorcast.errors import Unavailable
from sensorcast.store.postgres_units import PARTITION_US, partition_number

_PARTITIONS: Final = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'readings'::regclass"
_ROWS_OF: Final = "SELECT reltuples::bigint FROM pg_class WHERE oid = $1::text::regclass"
_KEY: Final = "unit_no, recorded_at_us, device_id"
_OLD: Final = f"SELECT {_KEY} FROM readings WHERE recorded_at_us >= $1 AND recorded_at_us < $2 LIMIT $3"  # noqa: S608 ours
_DELETE: Final = (
    "DELETE FROM readings AS r USING unnest($1::integer[], $2::bigint[], $3::text[]) "  # noqa: S608 our names
    f"AS g ({_KEY}) WHERE r.unit_no = g.unit_no "
    "AND r.recorded_at_us = g.recorded_at_us AND r.device_id = g.device_id"
)
_DELETE_GIVEN: Final = (
    "DELETE FROM given_ids WHERE ctid = ANY (ARRAY(SELECT ctid FROM given_ids WHERE recorded_at_us < $1 LIMIT $2))"
)
_ANY_GIVEN: Final = "SELECT EXISTS (SELECT FROM given_ids WHERE recorded_at_us < $1)"
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"
"""A drop waits for queries under way, and new ones wait behind it: not for long."""


async def old_partition(connection: Any, before_us: int) -> str | None:
    """Give a partition in which everything was recorded before a time, None when there is none."""
    names = [row[0] for row in await connection.fetch(_PARTITIONS)]
    return next((name for name in names if (partition_number(name) + 1) * PARTITION_US <= before_us), None)


async def drop(connection: Any, partition: str, before_us: int, limit: int) -> int:
    """Drop a partition; give about how many readings were in it. Raises `Unavailable` while somebody reads for long."""
    rows = await connection.fetchval(_ROWS_OF, partition)
    await connection.execute(_LOCK_TIMEOUT)
    try:
        await connection.execute(f"DROP TABLE IF EXISTS {partition}")
    except asyncpg.LockNotAvailableError as exc:
        raise Unavailable("old readings are in use", hint="Is a backup or a shell at work?", retry_after_s=60) from exc
    await forget_ids(connection, before_us, limit)
    return max(1, rows or 0)


async def old_rows(connection: Any, before_us: int, limit: int) -> list[Any]:
    """Give the keys of readings recorded before a time, in the partition of that time."""
    start_us = before_us // PARTITION_US * PARTITION_US
    return list(await connection.fetch(_OLD, start_us, before_us, limit))


async def delete(connection: Any, keys: list[Any], before_us: int, limit: int) -> int:
    """Delete readings by their keys; give how many."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    status: str = await connection.execute(_DELETE, *columns)
    await forget_ids(connection, before_us, limit)
    return int(status.rpartition(" ")[2])


async def has_old_ids(connection: Any, before_us: int) -> bool:
    """Tell whether ids given by clients are left of readings recorded before a time."""
    return bool(await connection.fetchval(_ANY_GIVEN, before_us))


async def forget_ids(connection: Any, before_us: int, limit: int) -> None:
    """Delete ids given by clients of readings recorded before a time."""
    await connection.execute(_DELETE_GIVEN, before_us, limit)
