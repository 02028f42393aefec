"""SQL of readings: how they become rows, how rows are inserted and judged, how they are read back.

Owns the mapping between `Reading` and the table `readings`. The invariant: a reading read back equals the one that was
written. Statements carry many rows each: SQLite then works long stretches without holding Python's lock, so a busy
event loop and the writer do not take turns at every row (measured: 12 times the rows/s beside a busy thread).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from sensorcast.model import Reading, Verdict, given_id
from sensorcast.store.derived_ids import id_to_store
from sensorcast.store.sqlite_ids import ORGANIZATION, Row, clashes, concerned, is_row_like_ours
from sensorcast.store.sqlite_units import UnitNumbers

_COLUMNS: Final = (
    "unit_no",
    "recorded_at_us",
    "device_id",
    "organization_no",
    "id",
    "received_at_us",
    "temperature",
    "humidity",
    "battery",
    "signal_strength",
    "metrics",
    "source",
    "site_id",
)
_unit_no: Final = itemgetter(0)
_NATURAL_KEY: Final = 3
"""The first columns: unit, time, device."""

_JUDGED: Final = ("organization_no", "id", "temperature", "humidity", "battery", "signal_strength", "metrics")
"""What must agree, besides the natural key, for a reading to be the same reading sent again."""

_ROWS_PER_STATEMENT: Final = 64
"""Measured: fewer cost calls, more cost SQLite's parser and cache; flat between 32 and 128."""

_MARKS: Final = ",".join("?" * len(_COLUMNS))
_METRICS_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_METRICS_DECODER: Final = msgspec.json.Decoder(dict[str, float])

SELECT_READING: Final = (
    "SELECT o.organization_id, u.unit_id, r.recorded_at_us, r.device_id, r.id, r.received_at_us, r.temperature, "
    "r.humidity, r.battery, r.signal_strength, r.metrics, r.source, r.site_id"
)


def to_row(reading: Reading, numbers: UnitNumbers) -> Row:
    """Give the row of a reading, its columns in the order of `_COLUMNS`. Raises `ValueError` when its id is no UUID."""
    organization_no, unit_no = numbers.of((reading.organization_id, reading.unit_id, reading.device_id))
    given = reading.given_id and id_to_store(reading)
    return (
        unit_no,
        reading.recorded_at_us,
        reading.device_id or "",
        organization_no,
        bytes.fromhex(given.replace("-", "")) if given else None,
        reading.received_at_us,
        reading.temperature,
        reading.humidity,
        reading.battery,
        reading.signal_strength,
        _METRICS_ENCODER.encode(reading.metrics).decode() if reading.metrics else None,
        reading.source,
        reading.site_id,
    )


def from_row(row: Row) -> Reading:
    """Give the reading of a row selected with `SELECT_READING`."""
    (organization_id, unit_id, recorded_at_us, device_id, id_bytes, received_at_us, *values, metrics, source, site) = (
        row
    )
    temperature, humidity, battery, signal_strength = values
    given = None if id_bytes is None else str(UUID(bytes=id_bytes))
    return Reading(
        organization_id=organization_id,
        unit_id=unit_id,
        recorded_at_us=recorded_at_us,
        received_at_us=received_at_us,
        given_id=given and given_id(given, organization_id, unit_id, device_id or None, recorded_at_us),
        device_id=device_id or None,
        temperature=temperature,
        humidity=humidity,
        battery=battery,
        signal_strength=signal_strength,
        metrics=None if metrics is None else _METRICS_DECODER.decode(metrics),
        source=source,
        site_id=site,
    )


def insert_new(connection: apsw.Connection, rows: Sequence[Row], readings: Sequence[Reading]) -> bool:
    """Insert the rows of readings; False when some were not new, then roll back and use `insert_judged`."""
    before = connection.total_changes()
    # By unit, so that rows for one page follow each other: a tenth less time.
    for chunk in _chunks(sorted(rows, key=_unit_no)):
        connection.execute(_insert_sql(len(chunk)), _flat(chunk))
    if connection.total_changes() - before < len(rows):
        return False
    return not clashes(connection, rows, readings, concerned(connection, rows))


def insert_judged(connection: apsw.Connection, rows: Sequence[Row], readings: Sequence[Reading]) -> list[Verdict]:
    """Insert the new ones among rows and say of each what became of it; an earlier row counts for a later one."""
    verdicts: list[Verdict] = []
    organizations = concerned(connection, rows) | {row[ORGANIZATION] for row in rows if is_row_like_ours(row)}
    for stretch in _stretches(rows):
        chunk = rows[stretch]
        verdicts += _judge(connection, chunk, clashes(connection, chunk, readings[stretch], organizations))
    return verdicts


def _judge(connection: apsw.Connection, chunk: Sequence[Row], clashing: set[int]) -> Iterator[Verdict]:
    there_before = _positions_stored_alike(connection, chunk)
    new = [row for position, row in enumerate(chunk) if position not in clashing]
    if new:
        connection.execute(_insert_sql(len(new)), _flat(new))
    there_after = _positions_stored_alike(connection, chunk)
    seen: set[Row] = set()
    for position, row in enumerate(chunk):
        key = row[:_NATURAL_KEY]
        if position not in there_after:
            yield Verdict.CONFLICT
        elif position in there_before or key in seen:
            yield Verdict.DUPLICATE
        else:
            seen.add(key)
            yield Verdict.STORED


def _positions_stored_alike(connection: apsw.Connection, chunk: Sequence[Row]) -> set[int]:
    """Find which rows of the chunk are in the table with all judged columns equal."""
    positions = connection.execute(_alike_sql(len(chunk)), _flat(chunk)).get
    return {int(position) for position in positions.split(",")} if positions else set()


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        yield rows[start : start + _ROWS_PER_STATEMENT]


def _stretches(rows: Sequence[Row]) -> Iterator[slice]:
    """Cut rows into chunks; one with an id like ours is alone, for it may clash with its neighbours."""
    start = 0
    for position, row in enumerate(rows):
        alone = is_row_like_ours(row)
        if start < position and (alone or position - start == _ROWS_PER_STATEMENT):
            yield slice(start, position)
            start = position
        if alone:
            yield slice(position, position + 1)
            start = position + 1
    if start < len(rows):
        yield slice(start, len(rows))


def _flat(chunk: Sequence[Row]) -> list[Any]:
    return [value for row in chunk for value in row]


@cache  # at most _ROWS_PER_STATEMENT texts, each also cached by apsw as a prepared statement
def _insert_sql(count: int) -> str:
    rows = ",".join([f"({_MARKS})"] * count)
    return f"INSERT INTO readings ({','.join(_COLUMNS)}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608 our names


@cache
def _alike_sql(count: int) -> str:
    given = ",".join(f"({position},{_MARKS})" for position in range(count))
    equal = " AND ".join(f"r.{name} IS g.{name}" for name in _JUDGED)
    return (
        f"WITH given (position, {','.join(_COLUMNS)}) AS (VALUES {given}) "  # noqa: S608 our names
        "SELECT group_concat(g.position) FROM given AS g CROSS JOIN readings AS r ON r.unit_no = g.unit_no "
        f"AND r.recorded_at_us = g.recorded_at_us AND r.device_id = g.device_id WHERE {equal}"
    )


def units_with_old(connection: apsw.Connection, before_us: int) -> list[int]:
    """Give the numbers of some units that have readings recorded before a time; one look-up per unit."""
    sql = (
        "SELECT unit_no FROM units AS u WHERE EXISTS "
        "(SELECT 1 FROM readings AS r WHERE r.unit_no = u.unit_no AND r.recorded_at_us < ?) LIMIT 100"
    )
    return [int(unit_no) for (unit_no,) in connection.execute(sql, (before_us,))]


def delete_old(connection: apsw.Connection, unit_numbers: Sequence[int], before_us: int, limit: int) -> int:
    """Delete readings of these units recorded before a time, `limit` at most; give how many."""
    key = "unit_no, recorded_at_us, device_id"
    sql = (
        f"DELETE FROM readings WHERE ({key}) IN (SELECT {key} FROM readings "  # noqa: S608 our names
        "WHERE unit_no IN (SELECT value FROM json_each(?)) AND recorded_at_us < ? LIMIT ?)"
    )
    connection.execute(sql, (msgspec.json.encode(list(unit_numbers)).decode(), before_us, limit))
    return int(connection.changes())
