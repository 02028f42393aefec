"""API keys and revocations in SQLite: one function per statement, each on a connection given by `sqlite`.

Rows are `credential_rows`. The invariant: whatever revokes something writes a row of `revocations` in the same
transaction, so that every process that follows that table learns of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import apsw

from sensorcast.model import ApiKey, Revocation, RevocationKind
from sensorcast.store.credential_rows import (
    KEY_COLUMNS,
    REVOCATION_COLUMNS,
    key_row,
    refuse_beyond_keys_max,
    refuse_beyond_revocations_max,
    revocation_row,
    to_key,
    to_revocation,
)
from sensorcast.store.sqlite_registry import know_organization

_INSERT_KEY: Final = f"INSERT INTO api_keys ({KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 our names
_FIND_KEY: Final = f"SELECT {KEY_COLUMNS} FROM api_keys WHERE key_id = ?"  # noqa: S608
_LIST_KEYS: Final = f"SELECT {KEY_COLUMNS} FROM api_keys WHERE organization_id = ? ORDER BY created_at_us, key_id"  # noqa: S608
_COUNT_KEYS: Final = "SELECT count(*) FROM api_keys WHERE organization_id = ?"
_REVOKE_KEY: Final = (
    "UPDATE api_keys SET revoked_at_us = ? WHERE organization_id = ? AND key_id = ? AND revoked_at_us IS NULL"
)
_REVOKE_ALL_KEYS: Final = "UPDATE api_keys SET revoked_at_us = ? WHERE organization_id = ? AND revoked_at_us IS NULL"
_NOTE_USE: Final = "UPDATE api_keys SET last_used_at_us = max(coalesce(last_used_at_us, 0), ?) WHERE key_id = ?"

_DELETE: Final = "DELETE FROM revocations WHERE organization_id = ? AND kind = ? AND subject = ?"
_DELETE_ALL: Final = "DELETE FROM revocations WHERE organization_id = ?"
_INSERT: Final = "INSERT INTO revocations (organization_id, kind, subject, revoked_at_us) VALUES (?, ?, ?, ?)"
_COUNT: Final = "SELECT count(*) FROM revocations WHERE organization_id = ?"
_SINCE: Final = f"SELECT {REVOCATION_COLUMNS} FROM revocations WHERE revocation_no > ? ORDER BY revocation_no"  # noqa: S608
_LIST: Final = f"SELECT {REVOCATION_COLUMNS} FROM revocations WHERE organization_id = ? ORDER BY revocation_no"  # noqa: S608


def insert_key(connection: apsw.Connection, key: ApiKey) -> None:
    """Store a key, and know its organization. Raises `InvalidRequest` when that has `KEYS_MAX`."""
    refuse_beyond_keys_max(connection.execute(_COUNT_KEYS, (key.organization_id,)).get)
    connection.execute(_INSERT_KEY, key_row(key)).fetchall()
    know_organization(connection, key.organization_id, key.created_at_us)


def find_key(connection: apsw.Connection, key_id: str) -> ApiKey | None:
    """Give the key with this id, of whatever organization: it says itself which."""
    rows = connection.execute(_FIND_KEY, (key_id,)).fetchall()
    return to_key(rows[0]) if rows else None


def list_keys(connection: apsw.Connection, organization_id: str) -> list[ApiKey]:
    """Give the keys of an organization, oldest first."""
    return [to_key(row) for row in connection.execute(_LIST_KEYS, (organization_id,))]


def revoke_key(connection: apsw.Connection, organization_id: str, key_id: str, now_us: int) -> bool:
    """Revoke a key; False when that organization has no such live key."""
    connection.execute(_REVOKE_KEY, (now_us, organization_id, key_id))
    if connection.changes() != 1:
        return False
    _put(connection, (organization_id, RevocationKind.KEY, key_id, now_us))
    return True


def note_key_uses(connection: apsw.Connection, last_used_at_us: Mapping[str, int]) -> None:
    """Write when keys were last used, by key id; never moves back."""
    connection.executemany(_NOTE_USE, [(moment_us, key_id) for key_id, moment_us in last_used_at_us.items()])


def revoke(connection: apsw.Connection, revocation: Revocation) -> None:
    """Store a revocation of tokens. Raises `InvalidRequest` when the organization has `REVOCATIONS_MAX`."""
    organization_id = revocation.organization_id
    if revocation.kind is RevocationKind.ORGANIZATION:
        # Whatever was revoked before is covered by this one.
        connection.execute(_DELETE_ALL, (organization_id,))
        connection.execute(_REVOKE_ALL_KEYS, (revocation.revoked_at_us, organization_id))
    else:
        refuse_beyond_revocations_max(connection.execute(_COUNT, (organization_id,)).get)
    _put(connection, revocation_row(revocation))


def revocations_since(connection: apsw.Connection, number: int) -> list[Revocation]:
    """Give every revocation with a higher number, of all organizations, by number."""
    return [to_revocation(row) for row in connection.execute(_SINCE, (number,))]


def list_revocations(connection: apsw.Connection, organization_id: str) -> list[Revocation]:
    """Give the revocations of an organization, oldest first."""
    return [to_revocation(row) for row in connection.execute(_LIST, (organization_id,))]


def _put(connection: apsw.Connection, row: tuple[str, str, str, int]) -> None:
    """Write a row with a new number, also where it was there: whoever follows the numbers must see it."""
    connection.execute(_DELETE, row[:3])
    connection.execute(_INSERT, row)
