"""Ids given by clients in the form of derived ones: which readings would share an id with another one.

No index holds a derived id, so what the unique index of given ids cannot see is looked for here. The invariant: of two
readings of an organization with one id, one given and one derived, the second is never stored. What that costs, only
organizations with such ids pay: all others one look into an index for each group. Called by `sqlite_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import apsw

from sensorcast.model import Reading
from sensorcast.store.derived_ids import derived_id, digest_of, times_of

Row = tuple[Any, ...]

ORGANIZATION: Final = 3
ID: Final = 4
"""Where a row of `sqlite_rows` has them."""

_WITH_IDS_LIKE_OURS: Final = (
    "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM readings "
    # As the index has it, word for word.
    "WHERE organization_no = value AND substr(id, 7, 1) BETWEEN x'80' AND x'8f')"
)
_GIVEN: Final = "SELECT ? FROM readings WHERE organization_no = ? AND id = ?"
_DERIVED: Final = (
    "SELECT ? FROM senders AS s JOIN readings AS r ON r.unit_no = s.unit_no AND r.device_id = s.device_id "
    "WHERE s.organization_no = ? AND s.digest = ? AND r.recorded_at_us = ? AND r.id IS NULL"
)


def concerned(connection: apsw.Connection, rows: Sequence[Row]) -> set[int]:
    """Give the organizations of the rows that have stored ids like ours."""
    numbers = {row[ORGANIZATION] for row in rows}
    return {number for (number,) in connection.execute(_WITH_IDS_LIKE_OURS, (str(list(numbers)),))}


def is_row_like_ours(row: Row) -> bool:
    """Tell whether a row has a given id that could be derived for another reading."""
    return row[ID] is not None and row[ID][6] >> 4 == 8


def clashes(
    connection: apsw.Connection, rows: Sequence[Row], readings: Sequence[Reading], organizations: set[int]
) -> set[int]:
    """Find which rows have the id of a stored reading of another natural key, one of the two ids being derived.

    `organizations` are those that have ids like ours, stored or among the rows.
    """
    if not organizations:
        return set()
    found = list(connection.executemany(_GIVEN, _derived_ids(rows, readings, organizations)))
    found += connection.executemany(_DERIVED, _times_of_given_ids(rows))
    return {position for (position,) in found}


def _derived_ids(rows: Sequence[Row], readings: Sequence[Reading], organizations: set[int]) -> Iterator[Row]:
    for position, (row, reading) in enumerate(zip(rows, readings, strict=True)):
        if row[ID] is None and row[ORGANIZATION] in organizations:
            yield position, row[ORGANIZATION], UUID(derived_id(reading)).bytes


def _times_of_given_ids(rows: Sequence[Row]) -> Iterator[Row]:
    for position, row in enumerate(rows):
        if is_row_like_ours(row):
            given = str(UUID(bytes=row[ID]))
            for at_us in times_of(given):
                yield position, row[ORGANIZATION], digest_of(given), at_us
