"""Downsampling in SQL: the buckets of one unit's history, and thin samples of many units.

Called by `sqlite` on a query-only connection. The invariant: work grows with the readings looked at for buckets, and
with the number of samples for samples, however many readings lie between them. One statement each, so that SQLite
works without holding Python's lock (measured: 170 ms for 600,000 readings into 600 buckets, 8 ms for 50 x 180 samples).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec

from sensorcast.store import METRIC_PREFIX, Bucket, Spread

_COLUMNS: Final = {
    "temperature": "r.temperature",
    "humidity": "r.humidity",
    "battery": "r.battery",
    "signalStrength": "r.signal_strength",
}
_FIND_UNIT: Final = (
    "SELECT unit_no FROM organizations JOIN units USING (organization_no) WHERE organization_id = ? AND unit_id = ?"
)
_MOMENTS: Final = (
    "WITH RECURSIVE moments (at) AS "
    "(SELECT :start_us UNION ALL SELECT at + :bucket_us FROM moments WHERE at + :bucket_us < :end_us)"
)
_IN_BUCKET: Final = "r.recorded_at_us >= at AND r.recorded_at_us < min(at + :bucket_us, :end_us)"

_NUMBERS: Final = msgspec.json.Decoder(list[float | None])


def select_series(
    connection: apsw.Connection,
    unit_key: tuple[str, str],
    measures: Sequence[str],
    *,
    start_us: int,
    end_us: int,
    bucket_us: int,
) -> list[Bucket]:
    """Give the buckets that hold readings, oldest first."""
    unit_no = connection.execute(_FIND_UNIT, unit_key).get
    values, names = _expressions(measures)
    # The sum behind a mean may be beyond a double, which would make it infinite; it lies between the two anyway.
    parts = ", ".join(
        f"min({value}), max({value}), min(max(avg({value}), min({value})), max({value}))" for value in values
    )
    sql = (
        f"{_MOMENTS} SELECT at, (SELECT json_array(count(*), avg(r.recorded_at_us - at), {parts}) "  # noqa: S608 ours
        f"FROM readings AS r WHERE r.unit_no = :unit_no AND {_IN_BUCKET}) FROM moments"
    )
    bindings = names | {"unit_no": unit_no, "start_us": start_us, "end_us": end_us, "bucket_us": bucket_us}
    return [
        _bucket(at_us, row, measures)
        for at_us, text in connection.execute(sql, bindings)
        if (row := _NUMBERS.decode(text))[0]
    ]


def select_samples(
    connection: apsw.Connection,
    organization_id: str,
    unit_ids: Sequence[str],
    measure: str,
    *,
    start_us: int,
    end_us: int,
    bucket_us: int,
) -> dict[str, list[float | None]]:
    """Give the first value of each bucket, for each of the units that exists."""
    (value,), names = _expressions([measure])
    sql = (
        f"{_MOMENTS} SELECT u.unit_id, json_group_array((SELECT {value} FROM readings AS r WHERE "  # noqa: S608 ours
        f"r.unit_no = u.unit_no AND {_IN_BUCKET} AND {value} IS NOT NULL LIMIT 1) ORDER BY at) "
        "FROM organizations AS o JOIN units AS u USING (organization_no) CROSS JOIN moments "
        "WHERE o.organization_id = :organization_id AND u.unit_id IN (SELECT value FROM json_each(:unit_ids)) "
        "GROUP BY u.unit_no"
    )
    bindings = names | {
        "organization_id": organization_id,
        "unit_ids": msgspec.json.encode(list(unit_ids)).decode(),
        "start_us": start_us,
        "end_us": end_us,
        "bucket_us": bucket_us,
    }
    return {unit_id: _NUMBERS.decode(text) for unit_id, text in connection.execute(sql, bindings)}


def _expressions(measures: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Give an SQL expression for each measure, and the bindings they need; names from outside are only ever bound."""
    expressions: list[str] = []
    names: dict[str, Any] = {}
    for position, measure in enumerate(measures):
        column = _COLUMNS.get(measure)
        if column is None:
            names[f"path_{position}"] = "$." + msgspec.json.encode(measure.removeprefix(METRIC_PREFIX)).decode()
            column = f"(r.metrics ->> :path_{position})"
        expressions.append(column)
    return expressions, names


def _bucket(at_us: int, row: Sequence[float | None], measures: Sequence[str]) -> Bucket:
    count, offset_us, *values = row
    spreads: Mapping[str, Spread] = {
        measure: Spread(low=low, high=high, mean=mean)
        for measure, low, high, mean in zip(measures, values[::3], values[1::3], values[2::3], strict=True)
        if low is not None and high is not None and mean is not None
    }
    return Bucket(start_us=at_us, time_us=at_us + round(offset_us or 0), count=round(count or 0), spreads=spreads)
