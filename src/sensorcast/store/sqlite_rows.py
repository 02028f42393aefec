"""SQL of readings: how they become rows, how rows are inserted and judged, how they are read back.

Owns the mapping between `Reading` and the table `readings`. The invariant: a reading read back equals the one that was
written. Statements carry many rows each: SQLite then works long stretches without holding Python's lock, so a busy
event loop and the writer do not take turns at every row (measured: 12 times the rows/s beside a busy thread).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import apsw
import msgspec

from sensorcast.model import Reading, Verdict, given_id

Row = tuple[Any, ...]

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
_NATURAL_KEY: Final = 3
"""The first columns: unit, time, device."""

_JUDGED: Final = ("organization_no", "id", "temperature", "humidity", "battery", "signal_strength", "metrics")
"""What must agree, besides the natural key, for a reading to be the same reading sent again."""

_ROWS_PER_STATEMENT: Final = 64
"""Measured: fewer cost calls, more cost SQLite's parser and cache; flat between 32 and 128."""

_CACHED_UNITS: Final = 200_000
"""Unit numbers kept in memory (about 40 MiB); beyond it the cache starts anew, at one query per unit."""

_MARKS: Final = ",".join("?" * len(_COLUMNS))
_METRICS_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_METRICS_DECODER: Final = msgspec.json.Decoder(dict[str, float])

SELECT_READING: Final = (
    "SELECT o.organization_id, u.unit_id, r.recorded_at_us, r.device_id, r.id, r.received_at_us, r.temperature, "
    "r.humidity, r.battery, r.signal_strength, r.metrics, r.source, r.site_id"
)


class UnitNumbers:
    """Numbers of organizations and units, given out on first sight. Belongs to the writer; forget after a rollback."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._organizations: dict[str, int] = {}
        self._units: dict[tuple[str, str], tuple[int, int]] = {}

    def forget(self) -> None:
        """Drop what was learned: numbers given out in a transaction that was rolled back are gone."""
        self._organizations.clear()
        self._units.clear()

    def of(self, unit_key: tuple[str, str]) -> tuple[int, int]:
        """Give (organization number, unit number) of a unit, creating both where they are new."""
        known = self._units.get(unit_key)
        if known is None:
            if len(self._units) >= _CACHED_UNITS:
                self.forget()
            known = self._units[unit_key] = self._create(*unit_key)
        return known

    def _create(self, organization_id: str, unit_id: str) -> tuple[int, int]:
        execute = self._connection.execute
        organization_no = self._organizations.get(organization_id)
        if organization_no is None:
            execute("INSERT INTO organizations (organization_id) VALUES (?) ON CONFLICT DO NOTHING", (organization_id,))
            find = "SELECT organization_no FROM organizations WHERE organization_id = ?"
            organization_no = self._organizations[organization_id] = int(execute(find, (organization_id,)).get)
        unit = (organization_no, unit_id)
        execute("INSERT INTO units (organization_no, unit_id) VALUES (?, ?) ON CONFLICT DO NOTHING", unit)
        unit_no = execute("SELECT unit_no FROM units WHERE organization_no = ? AND unit_id = ?", unit).get
        return organization_no, int(unit_no)


def to_row(reading: Reading, numbers: UnitNumbers) -> Row:
    """Give the row of a reading, its columns in the order of `_COLUMNS`."""
    organization_no, unit_no = numbers.of((reading.organization_id, reading.unit_id))
    return (
        unit_no,
        reading.recorded_at_us,
        reading.device_id or "",
        organization_no,
        bytes.fromhex(reading.id.replace("-", "")),
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
    return Reading(
        organization_id=organization_id,
        unit_id=unit_id,
        recorded_at_us=recorded_at_us,
        received_at_us=received_at_us,
        given_id=given_id(str(UUID(bytes=id_bytes)), organization_id, unit_id, device_id or None, recorded_at_us),
        device_id=device_id or None,
        temperature=temperature,
        humidity=humidity,
        battery=battery,
        signal_strength=signal_strength,
        metrics=None if metrics is None else _METRICS_DECODER.decode(metrics),
        source=source,
        site_id=site,
    )


def insert_new(connection: apsw.Connection, rows: Sequence[Row]) -> bool:
    """Insert rows; False when some were not new, then the caller must roll back and use `insert_judged`."""
    before = connection.total_changes()
    for chunk in _chunks(rows):
        connection.execute(_insert_sql(len(chunk)), _flat(chunk))
    return connection.total_changes() - before == len(rows)


def insert_judged(connection: apsw.Connection, rows: Sequence[Row]) -> list[Verdict]:
    """Insert the new ones among rows and say of each what became of it; an earlier row counts for a later one."""
    verdicts: list[Verdict] = []
    for chunk in _chunks(rows):
        verdicts += _judge(connection, chunk)
    return verdicts


def _judge(connection: apsw.Connection, chunk: Sequence[Row]) -> Iterator[Verdict]:
    there_before = _positions_stored_alike(connection, chunk)
    connection.execute(_insert_sql(len(chunk)), _flat(chunk))
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
