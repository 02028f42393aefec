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
from sensorcast.store.derived_ids import derived_id, digest_of, id_to_store, is_like_ours, times_of

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
_WITH_IDS_LIKE_OURS: Final = (
    "SELECT number FROM unnest($1::integer[]) AS number WHERE EXISTS "
    "(SELECT FROM given_ids AS g WHERE g.organization_no = number AND g.like_ours)"
)
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
    "SELECT g.organization_no, g.id "
    "FROM unnest($1::integer[], $2::uuid[], $3::bytea[], $4::bigint[]) AS g (organization_no, id, digest, at_us) "
    "JOIN senders AS s ON s.organization_no = g.organization_no AND s.digest = g.digest "
    "JOIN readings AS r ON r.unit_no = s.unit_no AND r.recorded_at_us = g.at_us AND r.device_id = s.device_id "
    "WHERE r.id IS NULL OR r.id = g.id"  # of earlier versions, which stored derived ones as well
)


def to_row(reading: Reading, unit: tuple[int, int]) -> Row:
    """Give the row of a reading, its columns in the order of `_COLUMNS`; `unit` is (organization, unit) number."""
    return (
        unit[1],
        reading.recorded_at_us,
        reading.device_id or "",
        unit[0],
        id_to_store(reading),
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
        given_id=id and given_id(str(id), organization_id, unit_id, device_id or None, recorded_at_us),
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


async def insert_new(connection: Any, rows: Sequence[Row], readings: Sequence[Reading], *, all_derived: bool) -> None:
    """Insert the rows of readings; `all_derived` says that none of them has a given id.

    Raises `KnownReadings` when one of them, or its id, is there already.
    """
    given = [] if all_derived else [row for row in rows if row[_ID] is not None]
    if given:
        columns = [*_columns(given, _ORGANIZATION, _ID, _TIME), [is_like_ours(row[_ID]) for row in given]]
        if await _count(connection, _INSERT_GIVEN, columns) != len(given) or await _derived(connection, given):
            raise KnownReadings
    concerned = await connection.fetch(_WITH_IDS_LIKE_OURS, list({row[_ORGANIZATION] for row in rows}))
    if concerned and await _given(connection, _ids(rows, readings, {row[0] for row in concerned})):
        raise KnownReadings
    try:
        await connection.copy_records_to_table("readings", records=rows, columns=_COLUMNS)
    except asyncpg.UniqueViolationError:
        raise KnownReadings from None


def _ids(rows: Sequence[Row], readings: Sequence[Reading], organizations: set[int]) -> list[tuple[int, str]]:
    """The derived ids of readings of these organizations."""
    return [
        (row[_ORGANIZATION], derived_id(reading))
        for row, reading in zip(rows, readings, strict=True)
        if row[_ID] is None and row[_ORGANIZATION] in organizations
    ]


async def judge(connection: Any, rows: Sequence[Row], readings: Sequence[Reading]) -> list[Verdict]:
    """Say of each of the rows of readings what inserting it would do now; an earlier row counts for a later one."""
    derived = [derived_id(reading) for reading in readings]
    ids = [(row[_ORGANIZATION], row[_ID] or own) for row, own in zip(rows, derived, strict=True)]
    # Ids first: each statement sees what other servers have committed by then, and the row of an id that is seen must
    # be seen too, or a duplicate would look like somebody else's reading with the same id.
    taken = _Taken(given=await _given(connection, ids), derived=await _derived(connection, rows))
    own_ids = {row[_KEY]: own for row, own in zip(rows, derived, strict=True)}
    for stored in await connection.fetch(_STORED, *_columns(rows, _UNIT, _TIME, _DEVICE)):
        own = own_ids[tuple(stored)[_KEY]]
        taken.add(_comparable(tuple(stored), own), own)
    return [taken.judge(_comparable(row, own), own) for row, own in zip(rows, derived, strict=True)]


class _Taken:
    """The keys and ids that are there: of stored rows, and of those judged so far."""

    def __init__(self, *, given: set[tuple[int, str]], derived: set[tuple[int, str]]) -> None:
        self._by_key: dict[Row, Row] = {}
        self._given = given
        self._derived = derived

    def add(self, row: Row, own_id: str) -> None:
        """Note a row that is there; `own_id` is the one that follows from its natural key."""
        self._by_key[row[_KEY]] = _judged(row)
        ids = self._derived if row[_ID] is None else self._given
        ids.add((row[_ORGANIZATION], row[_ID] or own_id))

    def judge(self, row: Row, own_id: str) -> Verdict:
        """Say what inserting a row would do, and note it if that would store it."""
        known = self._by_key.get(row[_KEY])
        if known is not None:
            return Verdict.DUPLICATE if known == _judged(row) else Verdict.CONFLICT
        id = (row[_ORGANIZATION], row[_ID] or own_id)
        # Two derived ids are never compared: natural keys say it all, whether or not two devices share a hash.
        if id in self._given or (row[_ID] is not None and id in self._derived):
            return Verdict.CONFLICT
        self.add(row, own_id)
        return Verdict.STORED


def _judged(row: Row) -> Row:
    return row[_JUDGED[0]] + row[_JUDGED[1]]


def _comparable(row: Row, own_id: str) -> Row:
    """Give the row with its id, if it is a given one, and metrics as Python values: texts may differ for equal ones."""
    given = None if row[_ID] is None or str(row[_ID]) == own_id else str(row[_ID])
    metrics = None if row[_METRICS] is None else _DECODER.decode(row[_METRICS])
    return (*row[:_ID], given, *row[_ID + 1 : _METRICS], metrics)


async def _given(connection: Any, ids: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
    """Which of the ids were given to a stored reading by a client."""
    found = await connection.fetch(_GIVEN, *_columns(ids, 0, 1))
    return {(number, str(id)) for number, id in found}


async def _derived(connection: Any, rows: Sequence[Row]) -> set[tuple[int, str]]:
    """Which given ids of the rows follow from the natural key of a stored reading."""
    sought = [
        (row[_ORGANIZATION], row[_ID], digest_of(row[_ID]), at_us)
        for row in rows
        if is_like_ours(row[_ID])
        for at_us in times_of(row[_ID])
    ]
    if not sought:
        return set()
    found = await connection.fetch(_DERIVED, *_columns(sought, 0, 1, 2, 3))
    return {(number, str(id)) for number, id in found}


def _columns(rows: Sequence[Row], *places: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in places]


async def _count(connection: Any, insert: str, columns: Sequence[Sequence[Any]]) -> int:
    status: str = await connection.execute(insert, *columns)
    return int(status.rpartition(" ")[2])
