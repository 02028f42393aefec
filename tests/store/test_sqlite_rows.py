"""Rows of readings; what the contract suite cannot see from outside."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from sensorcast.model import Verdict
from sensorcast.store.sqlite_file import open_writer
from sensorcast.store.sqlite_rows import insert_judged, insert_new, to_row
from sensorcast.store.sqlite_units import UnitNumbers
from tests.readings import series


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    return open_writer(tmp_path / "readings.db", 100)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_any_number_of_rows_is_inserted_in_chunks(connection: apsw.Connection, count: int) -> None:
    numbers = UnitNumbers(connection)
    assert insert_new(connection, [to_row(item, numbers) for item in series(count)], series(count))
    assert connection.execute("SELECT count(*) FROM readings").get == count
    connection.close()


def test_one_known_row_makes_the_fast_insert_say_no(connection: apsw.Connection) -> None:
    numbers = UnitNumbers(connection)
    rows = [to_row(item, numbers) for item in series(100)]
    insert_new(connection, rows[70:71], series(100)[70:71])
    assert not insert_new(connection, rows, series(100))
    connection.close()


def test_the_judged_insert_counts_an_earlier_row_across_chunks(connection: apsw.Connection) -> None:
    numbers = UnitNumbers(connection)
    rows = [to_row(item, numbers) for item in series(100)]
    assert insert_judged(connection, rows + rows, series(100) * 2) == [Verdict.STORED] * 100 + [Verdict.DUPLICATE] * 100
    connection.close()
