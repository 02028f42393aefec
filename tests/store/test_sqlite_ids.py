"""Ids in the form of derived ones: looked for through indexes, and only where an organization has some."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from sensorcast.model import Reading
from sensorcast.store.sqlite_file import open_writer
from sensorcast.store.sqlite_ids import _DERIVED, _GIVEN, _WITH_IDS_LIKE_OURS, Row, clashes, concerned
from sensorcast.store.sqlite_rows import insert_new, to_row
from sensorcast.store.sqlite_units import UnitNumbers
from tests.readings import reading, series

COPY = reading("u2", given_id=reading().id)


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    return open_writer(tmp_path / "readings.db", 100)


def rows_of(connection: apsw.Connection, readings: list[Reading]) -> list[Row]:
    numbers = UnitNumbers(connection)
    return [to_row(each, numbers) for each in readings]


def stored(connection: apsw.Connection, readings: list[Reading]) -> None:
    assert insert_new(connection, rows_of(connection, readings), readings)


def test_of_many_organizations_those_with_ids_like_ours_are_concerned(connection: apsw.Connection) -> None:
    stored(connection, [COPY, reading(org="globex", given_id="123e4567-e89b-42d3-a456-426614174000")])
    asked = rows_of(connection, [reading(org=org) for org in ("globex", "acme", "initech")])
    assert concerned(connection, asked) == {asked[1][3]}
    connection.close()


def test_who_has_no_such_ids_is_not_looked_at(connection: apsw.Connection) -> None:
    readings = series(3)
    stored(connection, [COPY])
    assert clashes(connection, rows_of(connection, readings), readings, set()) == set()
    assert clashes(connection, rows_of(connection, readings), readings, {1}) == {0}
    connection.close()


@pytest.mark.parametrize(
    ("sql", "bindings"), [(_WITH_IDS_LIKE_OURS, ("[1]",)), (_GIVEN, (0, 1, b"")), (_DERIVED, (0, 1, b"", 1))]
)
def test_every_look_up_goes_through_an_index(connection: apsw.Connection, sql: str, bindings: Row) -> None:
    plan = [str(step[-1]) for step in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
    assert not [step for step in plan if step.startswith("SCAN") and "json_each" not in step]
    connection.close()
