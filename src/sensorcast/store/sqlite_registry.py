"""The registry in SQLite: one function per statement, each on a connection given by `sqlite`.

Owns its rows. The invariant: what changes an entry numbers the change in the same transaction, and no
organization has more entries than it may, unless a setting was lowered. The one writer makes counting exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import apsw

from sensorcast.model import Entry
from sensorcast.settings import Settings
from sensorcast.store.registry_rows import (
    COLUMNS,
    SETTINGS,
    Row,
    from_row,
    grouped,
    nameless,
    oldest_us,
    refusal,
    room,
)

_OF_KIND: Final = "kind = ? AND organization_id = ?"
_INSERT: Final = f"INSERT OR IGNORE INTO registry ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 our names
_REPLACE: Final = (
    "UPDATE registry SET name = ?, site_id = ?, unit_id = ?, area = ?, metadata = ? "
    "WHERE kind = ? AND organization_id = ? AND entry_id = ?"
)
_COUNT: Final = f"SELECT coalesce(sum(entries), 0) FROM registry_counts WHERE {_OF_KIND}"  # noqa: S608
_GROW: Final = (
    "INSERT INTO registry_counts (kind, organization_id, entries) VALUES (?, ?, ?) "
    "ON CONFLICT (kind, organization_id) DO UPDATE SET entries = entries + excluded.entries"
)
_FIND: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE {_OF_KIND} AND entry_id IN (SELECT value FROM json_each(?)) "  # noqa: S608
    "ORDER BY entry_id"
)
_LIST: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE {_OF_KIND} AND entry_id > ? {{}} "  # noqa: S608
    "ORDER BY entry_id LIMIT ?"
)
_ORGANIZATIONS: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE kind = 'organization' AND organization_id > ? "  # noqa: S608
    "ORDER BY organization_id LIMIT ?"
)
_EVERYTHING: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE (kind, organization_id, entry_id) > (?, ?, ?) "  # noqa: S608
    "ORDER BY kind, organization_id, entry_id LIMIT ?"
)
_REMOVE: Final = f"DELETE FROM registry WHERE {_OF_KIND} AND entry_id = ?"  # noqa: S608
_REMOVE_ALL: Final = (
    "DELETE FROM registry WHERE kind IN ('organization', 'site', 'unit', 'device') AND organization_id = ?"
)
_FORGET_COUNTS: Final = "DELETE FROM registry_counts WHERE organization_id = ?"
_NUMBER: Final = (
    "INSERT INTO registry_changes (organization_id, change_no) "
    "SELECT ?, coalesce(max(change_no), 0) + 1 FROM registry_changes WHERE true "
    "ON CONFLICT (organization_id) DO UPDATE SET change_no = excluded.change_no"
)
_CHANGES: Final = "SELECT change_no, organization_id FROM registry_changes WHERE change_no > ? ORDER BY change_no"


def put_entry(connection: apsw.Connection, row: Row, settings: Settings) -> bool:
    """Insert or replace an entry; True when it is new. Raises `InvalidRequest` when there is no room for it."""
    connection.execute(_NUMBER, (row.organization_id,))
    connection.execute(_REPLACE, (*row[3:8], *row[:3]))
    if connection.changes():
        return False
    if not _room(connection, row, settings):
        raise refusal(row.kind, settings)
    connection.execute(_INSERT, row)
    _grow(connection, row.kind, row.organization_id, 1)
    know_organization(connection, row.organization_id, row.created_at_us)
    return True


def add_missing(connection: apsw.Connection, entries: Iterable[Entry], settings: Settings) -> int:
    """Insert those that are missing and find room; give how many that were."""
    added = 0
    for organization_id, kinds in grouped(entries).items():
        added += sum(_add(connection, rows, settings) for rows in kinds.values())
        know_organization(connection, organization_id, oldest_us(kinds))
    return added


def know_organization(connection: apsw.Connection, organization_id: str, created_at_us: int) -> None:
    """See to it that an organization is known."""
    connection.execute(_INSERT, nameless(organization_id, created_at_us))


def find_entries(connection: apsw.Connection, kind: str, organization_id: str, entry_ids: Sequence[str]) -> list[Any]:
    """Give the entries with these ids that there are, by id."""
    rows = connection.execute(_FIND, (kind, organization_id, json.dumps(list(entry_ids))))
    return [from_row(row) for row in rows]


def list_entries(
    connection: apsw.Connection, kind: str, organization_id: str, *, after: str, limit: int, only: Mapping[str, str]
) -> list[Any]:
    """Give entries by id, behind an id; `only` names columns and what they must hold."""
    conditions = "".join(f"AND {column} = ? " for column in only)
    bindings = (kind, organization_id, after, *only.values(), limit)
    return [from_row(row) for row in connection.execute(_LIST.format(conditions), bindings)]


def list_organizations(connection: apsw.Connection, after: str, limit: int) -> list[Any]:
    """Give organizations by id, behind an id."""
    return [from_row(row) for row in connection.execute(_ORGANIZATIONS, (after, limit))]


def list_everything(connection: apsw.Connection, behind: tuple[str, str, str], limit: int) -> list[Row]:
    """Give rows of all organizations and kinds, behind a (kind, organization, id)."""
    return [Row(*row) for row in connection.execute(_EVERYTHING, (*behind, limit))]


def remove_entry(connection: apsw.Connection, kind: str, organization_id: str, entry_id: str) -> bool:
    """Remove an entry, with an organization all of its entries; False when there is none."""
    connection.execute(_NUMBER, (organization_id,))
    connection.execute(_REMOVE, (kind, organization_id, entry_id))
    if connection.changes() != 1:
        return False
    _grow(connection, kind, organization_id, -1)
    if kind == "organization":
        connection.execute(_REMOVE_ALL, (organization_id,))
        connection.execute(_FORGET_COUNTS, (organization_id,))
    return True


def changes(connection: apsw.Connection, since: int) -> tuple[int, list[str]]:
    """Give the number of the last change, and the organizations that have changed after another."""
    rows: list[Any] = connection.execute(_CHANGES, (since,)).fetchall()
    return (rows[-1][0] if rows else since), [organization_id for _, organization_id in rows]


def _add(connection: apsw.Connection, rows: Mapping[str, Row], settings: Settings) -> int:
    """Insert the missing ones of rows of one organization and kind."""
    first = next(iter(rows.values()))
    there = {entry.entry_id for entry in find_entries(connection, first.kind, first.organization_id, list(rows))}
    missing = [row for entry_id, row in rows.items() if entry_id not in there]
    if not missing:
        return 0
    added = missing[: _room(connection, first, settings)]
    connection.executemany(_INSERT, added)
    _grow(connection, first.kind, first.organization_id, len(added))
    return len(added)


def _room(connection: apsw.Connection, row: Row, settings: Settings) -> int:
    """Give how many more entries of a row's kind its organization may have."""
    return room(row.kind, settings, connection.execute(_COUNT, (row.kind, row.organization_id)).get)


def _grow(connection: apsw.Connection, kind: str, organization_id: str, change: int) -> None:
    """Count what was inserted or removed, in the same transaction."""
    if kind in SETTINGS:
        connection.execute(_GROW, (kind, organization_id, change))
