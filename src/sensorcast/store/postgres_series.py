"""Downsampling in SQL on PostgreSQL: the buckets of one unit's history, and thin samples of many units.

The invariant: work grows with the readings looked at for buckets, and with the number of samples for samples, however
many readings lie between them. Names from outside are only ever bound, never part of a statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from sensorcast.store import METRIC_PREFIX, Bucket, Spread
from sensorcast.store.postgres_rows import escape

_COLUMNS: Final = {
    "temperature": "r.temperature",
    "humidity": "r.humidity",
    "battery": "r.battery::double precision",
    "signalStrength": "r.signal_strength::double precision",
}
_UNIT: Final = (
    "(SELECT u.unit_no FROM organizations AS o JOIN units AS u USING (organization_no) "
    "WHERE o.organization_id = $1 AND u.unit_id = $2)"
)
_FROM: Final = f"FROM readings AS r WHERE r.unit_no = {_UNIT} AND r.recorded_at_us >= $3 AND r.recorded_at_us < $4"


async def select_series(
    connection: Any,
    unit_key: tuple[str, str],
    measures: Sequence[str],
    *,
    start_us: int,
    end_us: int,
    bucket_us: int,
) -> list[Bucket]:
    """Give the buckets that hold readings, oldest first."""
    values, names = _expressions(measures, first_place=6)
    bindings = (*unit_key, start_us, end_us, bucket_us, *names)
    try:
        rows = await connection.fetch(_series_sql(values, "avg({})"), *bindings)
    except asyncpg.NumericValueOutOfRangeError:  # the sum of some values is beyond a double, their mean is not
        rows = await connection.fetch(_series_sql(values, "avg(({})::numeric)::double precision"), *bindings)
    return [_bucket(start_us + row[0] * bucket_us, row, measures) for row in rows]


async def select_samples(
    connection: Any,
    organization_id: str,
    unit_ids: Sequence[str],
    measure: str,
    *,
    start_us: int,
    end_us: int,
    bucket_us: int,
) -> dict[str, list[float | None]]:
    """Give the first value of each bucket, for each of the units that exists."""
    (value,), names = _expressions([measure], first_place=6)
    sql = (
        f"SELECT u.unit_id, array_agg((SELECT {value} FROM readings AS r WHERE r.unit_no = u.unit_no "  # noqa: S608 ours
        f"AND r.recorded_at_us >= at AND r.recorded_at_us < least(at + $5, $4) AND {value} IS NOT NULL "
        "ORDER BY r.recorded_at_us, r.device_id LIMIT 1) ORDER BY at) "
        "FROM organizations AS o JOIN units AS u USING (organization_no) "
        "CROSS JOIN generate_series($3::bigint, $4::bigint - 1, $5::bigint) AS at "
        "WHERE o.organization_id = $1 AND u.unit_id = ANY ($2::text[]) GROUP BY u.unit_id"
    )
    rows = await connection.fetch(sql, organization_id, list(unit_ids), start_us, end_us, bucket_us, *names)
    return {row[0]: list(row[1]) for row in rows}


def _series_sql(values: Sequence[str], mean: str) -> str:
    parts = ", ".join(f"min({value}), max({value}), {mean.format(value)}" for value in values)
    return (
        "SELECT (r.recorded_at_us - $3) / $5::bigint, count(*), "
        f"avg(((r.recorded_at_us - $3) % $5)::double precision), {parts} {_FROM} GROUP BY 1 ORDER BY 1"
    )


def _expressions(measures: Sequence[str], *, first_place: int) -> tuple[list[str], list[str]]:
    """Give an SQL expression for each measure, and the names to be bound from `first_place` on."""
    expressions: list[str] = []
    names: list[str] = []
    for measure in measures:
        column = _COLUMNS.get(measure)
        if column is None:
            column = f"(r.metrics -> ${first_place + len(names)}::text)::double precision"
            names.append(escape(measure.removeprefix(METRIC_PREFIX)))
        expressions.append(column)
    return expressions, names


def _bucket(at_us: int, row: Sequence[Any], measures: Sequence[str]) -> Bucket:
    _, count, offset_us, *values = row
    spreads: Mapping[str, Spread] = {
        measure: Spread(low=low, high=high, mean=mean)
        for measure, low, high, mean in zip(measures, values[::3], values[1::3], values[2::3], strict=True)
        if low is not None
    }
    return Bucket(start_us=at_us, time_us=at_us + round(offset_us), count=count, spreads=spreads)
