"""Numbers are given out once, and whoever sends is found again by the end of the ids derived for them."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from sensorcast.store import sqlite_units
from sensorcast.store.derived_ids import sender_digest
from sensorcast.store.sqlite_file import open_writer
from sensorcast.store.sqlite_units import UnitNumbers


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    return open_writer(tmp_path / "readings.db", 100)


def test_units_of_equal_name_in_two_organizations_have_different_numbers(connection: apsw.Connection) -> None:
    numbers = UnitNumbers(connection)
    first, second = numbers.of(("a", "u", None)), numbers.of(("b", "u", None))
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert UnitNumbers(connection).of(("b", "u", None)) == second
    connection.close()


def test_the_cache_of_units_is_bounded(connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_units, "_CACHED_SENDERS", 3)
    numbers = UnitNumbers(connection)
    first = [numbers.of(("a", f"u{number}", None)) for number in range(8)]
    assert [numbers.of(("a", f"u{number}", None)) for number in range(8)] == first
    connection.close()


def test_a_unit_has_one_number_and_a_sender_for_each_of_its_devices(connection: apsw.Connection) -> None:
    senders = [("a", "u", None), ("a", "u", "d"), ("a", "v", "d")]
    for _ in range(2):
        numbers = UnitNumbers(connection)
        places = [numbers.of(sender) for sender in senders]
    assert places[0] == places[1] != places[2]
    found = set(connection.execute("SELECT organization_no, unit_no, digest, device_id FROM senders"))
    digests = [sender_digest(sender) for sender in senders]
    assert found == {
        (*place, digest, sender[2] or "") for place, digest, sender in zip(places, digests, senders, strict=True)
    }
    connection.close()
