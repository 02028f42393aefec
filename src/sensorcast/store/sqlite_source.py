"""Everything in a SQLite database, in the order of its key: for a move to another store.

The invariant: while it is open nobody else writes to the database, so a place in the order says exactly what came
before it. Between two moves a server may have written: `count_up_to` tells whether it did before a place.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from sensorcast.errors import ConfigurationError
from sensorcast.model import ApiKey, Entry, Reading, Revocation
from sensorcast.store.credential_rows import KEY_COLUMNS, REVOCATION_COLUMNS, to_key, to_revocation
from sensorcast.store.registry_rows import COLUMNS, to_row
from sensorcast.store.registry_rows import from_row as from_entry_row
from sensorcast.store.sqlite_file import open_failure, open_writer
from sensorcast.store.sqlite_rows import SELECT_READING, from_row

_PAGE: Final = (
    f"{SELECT_READING}, r.unit_no FROM readings AS r JOIN units AS u USING (unit_no) "
    "JOIN organizations AS o ON o.organization_no = u.organization_no "
    "WHERE (r.unit_no, r.recorded_at_us, r.device_id) > (?, ?, ?) "
    "ORDER BY r.unit_no, r.recorded_at_us, r.device_id LIMIT ?"
)
_ENTRIES: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE (kind, organization_id, entry_id) > (?, ?, ?) "  # noqa: S608 our names
    "ORDER BY kind, organization_id, entry_id LIMIT ?"
)
_KEYS: Final = f"SELECT {KEY_COLUMNS} FROM api_keys ORDER BY organization_id, created_at_us, key_id"  # noqa: S608
_REVOCATIONS: Final = f"SELECT {REVOCATION_COLUMNS} FROM revocations ORDER BY revocation_no"  # noqa: S608

_COUNT_UP_TO: Final = "SELECT count(*) FROM readings WHERE (unit_no, recorded_at_us, device_id) <= (?, ?, ?)"


class Place(NamedTuple):
    """Behind which reading to go on."""

    unit_no: int
    recorded_at_us: int
    device_id: str


START: Final = Place(-1, 0, "")


class SqliteSource:
    """One database, locked for other writers until `close`. Its methods block: call them in a thread."""

    def __init__(self, path: Path, busy_timeout_ms: int) -> None:
        if not path.exists():
            raise ConfigurationError(f"there is no database {path}", hint="Name its folder with `data`.")
        self.name = str(path.resolve())
        self._in_use = threading.Lock()
        try:
            self._connection = open_writer(path, busy_timeout_ms)
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as exc:
            raise open_failure(exc, path) from exc

    def close(self) -> None:
        """Let go of the database, when the thread of a caller who does not wait any more is done with it."""
        with self._in_use:
            self._connection.close(force=True)

    def count(self) -> int:
        """How many readings there are."""
        return int(self._rows("SELECT count(*) FROM readings")[0][0])

    def count_up_to(self, place: Place) -> int:
        """How many readings there are up to a place, the one there included."""
        return int(self._rows(_COUNT_UP_TO, place)[0][0])

    def page(self, behind: Place, limit: int) -> tuple[Place, list[Reading]]:
        """Give the next readings behind a place, and the place behind them."""
        rows = self._rows(_PAGE, (*behind, limit))
        readings = [from_row(row[:-1]) for row in rows]
        if not readings:
            return behind, readings
        return Place(rows[-1][-1], readings[-1].recorded_at_us, readings[-1].device_id or ""), readings

    def entries(self, behind: Entry | None, limit: int) -> list[Entry]:
        """Give the next entries of the registry behind one of them, of all organizations."""
        place = ("", "", "") if behind is None else to_row(behind)[:3]
        return [from_entry_row(row) for row in self._rows(_ENTRIES, (*place, limit))]

    def keys(self) -> list[ApiKey]:
        """Every API key, of all organizations."""
        return [to_key(row) for row in self._rows(_KEYS)]

    def revocations(self) -> list[Revocation]:
        """Every revocation, by number."""
        return [to_revocation(row) for row in self._rows(_REVOCATIONS)]

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        with self._in_use:
            return self._connection.execute(sql, bindings).fetchall()
