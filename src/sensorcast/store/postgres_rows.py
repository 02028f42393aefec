"""SQL of readings on PostgreSQL: how they become rows, how rows are inserted and judged, how they are read back.

Owns the mapping between `Reading` and the table `readings`. The invariant: a reading read back equals the one that was
written. Rows go to the server by COPY, which takes half the time of an INSERT but ends at the first one that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from sensorcast.model import Reading, Verdict, given_id

Row = tuple[Any, ...]

_COLUMNS: Final = (
    *("unit_no", "recorded_at_us", "device_id", "organization_no", "id", "received_at_us"),
    *("temperature", "humidity", "battery", "signal_strength", "metrics", "source", "site_id"),
)
_UNIT, _TIME, _DEVICE, _ORGANIZATION, _ID = range(5)
_METRICS: Final = 10
_KEY: Final = slice(0, 3)
"""The natural key: unit, time, device."""

_JUDGED: Final = slice(_ORGANIZATION, _ID + 1), slice(6, _METRICS + 1)
"""What must agree, besides the natural key: organization and id; what was measured."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(dict[str, float])

SELECT_READING: Final = (
    "SELECT o.organization_id, u.unit_id, r.recorded_at_us, r.device_id, r.id, r.received_at_us, r.temperature, "
    "r.humidity, r.battery, r.signal_strength, r.metrics, r.source, r.site_id"
)

_INSERT_GIVEN: Final = (
    "INSERT INTO given_ids (organization_no, id, recorded_at_us, like_ours) "
    "SELECT * FROM unnest($1::integer[], $2::uuid[], $3::bigint[], $4::boolean[]) ON CONFLICT DO NOTHING"
)
_ANY_LIKE_OURS: Final = "SELECT EXISTS (SELECT FROM given_ids WHERE like_ours)"
_STORED: Final = (
    f"SELECT {', '.join(f'r.{name}' for name in _COLUMNS)} "  # noqa: S608 our names
    "FROM unnest($1::integer[], $2::bigint[], $3::text[]) AS g (unit_no, recorded_at_us, device_id) JOIN readings AS r "
    "ON r.unit_no = g.unit_no AND r.recorded_at_us = g.recorded_at_us AND r.device_id = g.device_id"
)
_GIVEN: Final = (
    "SELECT organization_no, id FROM given_ids WHERE (organization_no, id) IN "
    "(SELECT * FROM unnest($1::integer[], $2::uuid[]))"
)
_DERIVED: Final = (
    "SELECT r.organization_no, r.id FROM unnest($1::integer[], $2::uuid[], $3::bigint[]) "
    "AS g (organization_no, id, at_us) JOIN readings AS r ON r.recorded_at_us >= g.at_us "
    "AND r.recorded_at_us < g.at_us + 1000 AND r.organization_no = g.organization_no AND r.id = g.id"
)


def to_row(reading: Reading, unit: tuple[int, int]) -> Row:
    """Give the row of a reading, its columns in the order of `_COLUMNS`; `unit` is (organization, unit) number."""
    return (
        unit[1],
        reading.recorded_at_us,
        reading.device_id or "",
        unit[0],
        reading.id,
        reading.received_at_us,
        reading.temperature,
        reading.humidity,
        reading.battery,
        reading.signal_strength,
        _ENCODER.encode({escape(name): value for name, value in reading.metrics.items()}).decode()
        if reading.metrics
        else None,
        reading.source,
        reading.site_id,
    )


def from_row(row: Sequence[Any]) -> Reading:
    """Give the reading of a row selected with `SELECT_READING`."""
    (organization_id, unit_id, recorded_at_us, device_id, id, received_at_us, *values, metrics, source, site_id) = row
    temperature, humidity, battery, signal_strength = values
    return Reading(
        organization_id=organization_id,
        unit_id=unit_id,
        recorded_at_us=recorded_at_us,
        received_at_us=received_at_us,
        given_id=given_id(str(id), organization_id, unit_id, device_id or None, recorded_at_us),
        device_id=device_id or None,
        temperature=temperature,
        humidity=humidity,
        battery=battery,
        signal_strength=signal_strength,
        metrics=_metrics(metrics),
        source=source,
        site_id=site_id,
    )


def escape(name: str) -> str:
    """Give the name of a metric without NUL, which PostgreSQL cannot hold."""
    return name.replace("%", "%25").replace("\0", "%00") if "%" in name or "\0" in name else name


def _metrics(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    found = _DECODER.decode(text)
    return {name.replace("%00", "\0").replace("%25", "%"): value for name, value in found.items()}


class KnownReadings(Exception):
    """Not all rows are new: roll back, then use `judge`."""


async def insert_new(connection: Any, rows: Sequence[Row], *, all_derived: bool) -> None:
    """Insert rows; `all_derived` says that none of them `is_given`.

    Raises `KnownReadings` when one of them, or its id, is there already.
    """
    given = [] if all_derived else [row for row in rows if is_given(row[_ID], row[_TIME])]
    if given:
        columns = [*_columns(given, _ORGANIZATION, _ID, _TIME), [is_like_ours(row[_ID]) for row in given]]
        if await _count(connection, _INSERT_GIVEN, columns) != len(given) or await _derived(connection, given):
            raise KnownReadings
    if await connection.fetchval(_ANY_LIKE_OURS) and await _given(
        connection, [r for r in rows if not is_given(r[_ID], r[_TIME])]
    ):
        raise KnownReadings
    try:
        await connection.copy_records_to_table("readings", records=rows, columns=_COLUMNS)
    except asyncpg.UniqueViolationError:
        raise KnownReadings from None


async def judge(connection: Any, rows: Sequence[Row]) -> list[Verdict]:
    """Say of each row what inserting it would do now; an earlier row counts for a later one."""
    # Ids first: each statement sees what other servers have committed by then, and the row of an id that is seen must
    # be seen too, or a duplicate would look like somebody else's reading with the same id.
    ids = await _given(connection, rows) | await _derived(connection, rows)
    stored = await connection.fetch(_STORED, *_columns(rows, _UNIT, _TIME, _DEVICE))
    by_key = {tuple(row)[_KEY]: _judged(_comparable(tuple(row))) for row in stored}
    ids |= {(row[_ORGANIZATION], str(row[_ID])) for row in stored}
    return [_verdict(_comparable(row), by_key, ids) for row in rows]


def _verdict(row: Row, by_key: dict[Row, Row], ids: set[tuple[int, str]]) -> Verdict:
    known = by_key.get(row[_KEY])
    if known is not None:
        return Verdict.DUPLICATE if known == _judged(row) else Verdict.CONFLICT
    if (row[_ORGANIZATION], row[_ID]) in ids:
        return Verdict.CONFLICT
    by_key[row[_KEY]] = _judged(row)
    ids.add((row[_ORGANIZATION], row[_ID]))
    return Verdict.STORED


def _judged(row: Row) -> Row:
    return row[_JUDGED[0]] + row[_JUDGED[1]]


def _comparable(row: Row) -> Row:
    """Give the row with its id and metrics as Python values, as their text may differ for equal ones."""
    metrics = None if row[_METRICS] is None else _DECODER.decode(row[_METRICS])
    return (*row[:_ID], str(row[_ID]), *row[_ID + 1 : _METRICS], metrics)


def is_given(reading_id: str, recorded_at_us: int) -> bool:
    """Tell whether an id has another form than those derived by the server for readings of this time.

    One of that form is kept unique by the index of its partition: the same id cannot be of that form anywhere else.
    """
    time_ms = _time_of_id(reading_id)
    return time_ms is None or time_ms != recorded_at_us // 1_000 & 0xFFFF_FFFF_FFFF


def is_like_ours(reading_id: str) -> bool:
    """Tell whether a given id could be the one that the server derives for another reading."""
    return _time_of_id(reading_id) is not None


def _time_of_id(text: str) -> int | None:
    """Give the milliseconds in an id of the derived form (UUID version 8); None for any other."""
    return int(text[:8] + text[9:13], 16) if text[14:15] == "8" else None


async def _given(connection: Any, rows: Sequence[Row]) -> set[tuple[int, str]]:
    """Which ids of the rows were given to a stored reading by a client."""
    found = await connection.fetch(_GIVEN, *_columns(rows, _ORGANIZATION, _ID))
    return {(number, str(id)) for number, id in found}


async def _derived(connection: Any, rows: Sequence[Row]) -> set[tuple[int, str]]:
    """Which ids of the rows are those of a stored reading of the time they say."""
    timed = [row for row in rows if is_like_ours(row[_ID])]
    if not timed:
        return set()
    times = [(_time_of_id(row[_ID]) or 0) * 1_000 for row in timed]
    found = await connection.fetch(_DERIVED, *_columns(timed, _ORGANIZATION, _ID), times)
    return {(number, str(id)) for number, id in found}


def _columns(rows: Sequence[Row], *places: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in places]


async def _count(connection: Any, insert: str, columns: Sequence[Sequence[Any]]) -> int:
    status: str = await connection.execute(insert, *columns)
    return int(status.rpartition(" ")[2])
