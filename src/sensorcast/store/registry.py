"""The registry in a database: one function per statement or transaction.

Owns its rows. The invariant: what changes an entry numbers the change in the same transaction, and numbers become
visible in their order; no organization has more entries than it may, unless a setting was lowered: whoever writes
holds the row of the organization's last change, also against other servers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

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
    to_row,
)
from sensorcast.store.statements import Statements

_OF_KIND: Final = "kind = $1 AND organization_id = $2"
_INSERT: Final = f"INSERT INTO registry ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"  # noqa: S608 our names
_REPLACE: Final = (
    "UPDATE registry SET name = $4, site_id = $5, unit_id = $6, area = $7, metadata = $8 "
    "WHERE kind = $1 AND organization_id = $2 AND entry_id = $3"
)
_COUNT: Final = f"SELECT CAST(coalesce(sum(entries), 0) AS bigint) FROM registry_counts WHERE {_OF_KIND}"  # noqa: S608
_GROW: Final = (
    "INSERT INTO registry_counts AS c (kind, organization_id, entries) VALUES ($1, $2, $3) "
    "ON CONFLICT (kind, organization_id) DO UPDATE SET entries = c.entries + excluded.entries"
)
_FIND: Final = f"SELECT {COLUMNS} FROM registry WHERE {_OF_KIND} AND entry_id {{among}} ORDER BY entry_id"  # noqa: S608
_LIST: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE {_OF_KIND} AND entry_id > $3 {{}} "  # noqa: S608
    "ORDER BY entry_id LIMIT $4"
)
_ORGANIZATIONS: Final = (
    f"SELECT {COLUMNS} FROM registry WHERE kind = 'organization' AND organization_id > $1 "  # noqa: S608
    "ORDER BY organization_id LIMIT $2"
)
_REMOVE: Final = f"DELETE FROM registry WHERE {_OF_KIND} AND entry_id = $3"  # noqa: S608
_REMOVE_ALL: Final = (
    "DELETE FROM registry WHERE kind IN ('organization', 'site', 'unit', 'device') AND organization_id = $1"
)
_FORGET_COUNTS: Final = "DELETE FROM registry_counts WHERE organization_id = $1"
_LOCK: Final = (
    "INSERT INTO registry_changes AS c (organization_id, change_no) VALUES ($1, 0) "
    "ON CONFLICT (organization_id) DO UPDATE SET change_no = c.change_no"
)
"""Changes nothing, but holds the row to the end of the transaction: entries of the organization are counted."""

_LOCK_NUMBERS: Final = "SELECT pg_advisory_xact_lock(91625968963588)"
"""Held to the end of a transaction that numbers: without it, a number could appear after a higher one."""

_NUMBER: Final = (
    "INSERT INTO registry_changes (organization_id, change_no) "
    "SELECT $1, coalesce(max(change_no), 0) + 1 FROM registry_changes WHERE true "
    "ON CONFLICT (organization_id) DO UPDATE SET change_no = excluded.change_no"
)
_CHANGES: Final = "SELECT change_no, organization_id FROM registry_changes WHERE change_no > $1 ORDER BY change_no"


async def put_entry(statements: Statements, row: Row, settings: Settings, only: Collection[str] | None = None) -> bool:
    """Insert or replace an entry, or the fields named in `only`; True when it is new.

    Raises `InvalidRequest` when there is no room for it.
    """
    await _number(statements, row.organization_id)
    if only is not None:  # nobody else can change the entry now, until the end of the transaction
        row = await _merged(statements, row, only)
    if await statements.execute(_REPLACE, *row[:8]):
        return False
    if not await _room(statements, row, settings):
        raise refusal(row.kind, settings)
    await statements.execute(_INSERT, *row)
    await _grow(statements, row.kind, row.organization_id, 1)
    await know_organization(statements, row.organization_id, row.created_at_us)
    return True


async def _merged(statements: Statements, row: Row, only: Collection[str]) -> Row:
    """Give the row that is there with the fields named in `only` from this one; this one when there is none."""
    found = await find_entries(statements, row.kind, row.organization_id, [row.entry_id])
    return to_row(found[0])._replace(**{field: getattr(row, field) for field in only}) if found else row


async def add_missing(statements: Statements, entries: Iterable[Entry], settings: Settings) -> int:
    """Insert those that are missing and find room; give how many that were."""
    added = 0
    for organization_id, kinds in grouped(entries).items():
        await statements.lock(_LOCK, organization_id)
        for rows in kinds.values():
            added += await _add(statements, rows, settings)
        await know_organization(statements, organization_id, oldest_us(kinds))
    return added


async def know_organization(statements: Statements, organization_id: str, created_at_us: int) -> None:
    """See to it that an organization is known, before or after somebody else who puts it at this moment."""
    await statements.lock(_LOCK, organization_id)
    await statements.execute(_INSERT, *nameless(organization_id, created_at_us))


async def find_entries(statements: Statements, kind: str, organization_id: str, entry_ids: Sequence[str]) -> list[Any]:
    """Give the entries with these ids that there are, by id."""
    possible = [entry_id for entry_id in entry_ids if "\0" not in entry_id]  # PostgreSQL cannot hold it: none has it
    rows = await statements.fetch(_FIND.format(among=statements.among_3), kind, organization_id, possible)
    return [from_row(row) for row in rows]


async def list_entries(
    statements: Statements, kind: str, organization_id: str, *, after: str, limit: int, only: Mapping[str, str]
) -> list[Any]:
    """Give entries by id, behind an id; `only` names columns and what they must hold."""
    conditions = " ".join(f"AND {column} = ${number}" for number, column in enumerate(only, start=5))
    rows = await statements.fetch(_LIST.format(conditions), kind, organization_id, after, limit, *only.values())
    return [from_row(row) for row in rows]


async def list_organizations(statements: Statements, after: str, limit: int) -> list[Any]:
    """Give organizations by id, behind an id."""
    return [from_row(row) for row in await statements.fetch(_ORGANIZATIONS, after, limit)]


async def remove_entry(statements: Statements, kind: str, organization_id: str, entry_id: str) -> bool:
    """Remove an entry, with an organization all of its entries; False when there is none."""
    if "\0" in entry_id:
        return False
    await _number(statements, organization_id)
    if not await statements.execute(_REMOVE, kind, organization_id, entry_id):
        return False
    await _grow(statements, kind, organization_id, -1)
    if kind == "organization":
        await statements.execute(_REMOVE_ALL, organization_id)
        await statements.execute(_FORGET_COUNTS, organization_id)
    return True


async def changes(statements: Statements, since: int) -> tuple[int, list[str]]:
    """Give the number of the last change, and the organizations that have changed after another."""
    rows = await statements.fetch(_CHANGES, since)
    return (rows[-1][0] if rows else since), [organization_id for _, organization_id in rows]


async def _number(statements: Statements, organization_id: str) -> None:
    """Number a change, and keep others from writing entries of the organization."""
    await statements.lock(_LOCK_NUMBERS)
    await statements.execute(_NUMBER, organization_id)


async def _add(statements: Statements, rows: Mapping[str, Row], settings: Settings) -> int:
    """Insert the missing ones of rows of one organization and kind."""
    first = next(iter(rows.values()))
    found = await find_entries(statements, first.kind, first.organization_id, list(rows))
    there = {entry.entry_id for entry in found}
    missing = [row for entry_id, row in rows.items() if entry_id not in there]
    if not missing:
        return 0
    added = missing[: await _room(statements, first, settings)]
    await statements.execute_many(_INSERT, added)
    await _grow(statements, first.kind, first.organization_id, len(added))
    return len(added)


async def _room(statements: Statements, row: Row, settings: Settings) -> int:
    """Give how many more entries of a row's kind its organization may have."""
    [(count,)] = await statements.fetch(_COUNT, row.kind, row.organization_id)
    return room(row.kind, settings, count)


async def _grow(statements: Statements, kind: str, organization_id: str, change: int) -> None:
    """Count what was inserted or removed, in the same transaction."""
    if kind in SETTINGS:
        await statements.execute(_GROW, kind, organization_id, change)
