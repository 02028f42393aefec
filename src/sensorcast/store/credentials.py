"""API keys and revocations in a database: one function per statement or transaction.

Rows are `credential_rows`. The invariant: whatever revokes something writes a row of `revocations` in the same
transaction, so that every process that follows that table learns of it; and numbers become visible in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
from sensorcast.store.registry import know_organization
from sensorcast.store.statements import Statements

_LOCK: Final = "SELECT pg_advisory_xact_lock(91625968963587)"
"""Held to the end of a transaction that counts or numbers: without it, a number could appear after a higher one."""

_INSERT_KEY: Final = f"INSERT INTO api_keys ({KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608 our names
_FIND_KEY: Final = f"SELECT {KEY_COLUMNS} FROM api_keys WHERE key_id = $1"  # noqa: S608
_LIST_KEYS: Final = f"SELECT {KEY_COLUMNS} FROM api_keys WHERE organization_id = $1 ORDER BY created_at_us, key_id"  # noqa: S608
_COUNT_KEYS: Final = "SELECT count(*) FROM api_keys WHERE organization_id = $1"
_REVOKE_KEY: Final = (
    "UPDATE api_keys SET revoked_at_us = $1 WHERE organization_id = $2 AND key_id = $3 AND revoked_at_us IS NULL"
)
_REVOKE_ALL_KEYS: Final = "UPDATE api_keys SET revoked_at_us = $1 WHERE organization_id = $2 AND revoked_at_us IS NULL"
_NOTE_USE: Final = "UPDATE api_keys SET last_used_at_us = $1 WHERE key_id = $2 AND coalesce(last_used_at_us, 0) < $1"

_DELETE: Final = "DELETE FROM revocations WHERE organization_id = $1 AND kind = $2 AND subject = $3"
_DELETE_ALL: Final = "DELETE FROM revocations WHERE organization_id = $1"
_INSERT: Final = "INSERT INTO revocations (organization_id, kind, subject, revoked_at_us) VALUES ($1, $2, $3, $4)"
_COUNT: Final = "SELECT count(*) FROM revocations WHERE organization_id = $1"
_SINCE: Final = f"SELECT {REVOCATION_COLUMNS} FROM revocations WHERE revocation_no > $1 ORDER BY revocation_no"  # noqa: S608
_LIST: Final = f"SELECT {REVOCATION_COLUMNS} FROM revocations WHERE organization_id = $1 ORDER BY revocation_no"  # noqa: S608


async def insert_key(statements: Statements, key: ApiKey) -> None:
    """Store a key, and know its organization. Raises `InvalidRequest` when that has `KEYS_MAX`."""
    await statements.lock(_LOCK)
    [(count,)] = await statements.fetch(_COUNT_KEYS, key.organization_id)
    refuse_beyond_keys_max(count)
    await statements.execute(_INSERT_KEY, *key_row(key))
    await know_organization(statements, key.organization_id, key.created_at_us)


async def find_key(statements: Statements, key_id: str) -> ApiKey | None:
    """Give the key with this id, of whatever organization: it says itself which."""
    if "\0" in key_id:  # PostgreSQL cannot hold it, so no key has it
        return None
    rows = await statements.fetch(_FIND_KEY, key_id)
    return to_key(rows[0]) if rows else None


async def list_keys(statements: Statements, organization_id: str) -> list[ApiKey]:
    """Give the keys of an organization, oldest first."""
    return [to_key(row) for row in await statements.fetch(_LIST_KEYS, organization_id)]


async def revoke_key(statements: Statements, organization_id: str, key_id: str, now_us: int) -> bool:
    """Revoke a key; False when that organization has no such live key."""
    if "\0" in key_id or not await statements.execute(_REVOKE_KEY, now_us, organization_id, key_id):
        return False
    await _put(statements, (organization_id, RevocationKind.KEY.value, key_id, now_us))
    return True


async def note_key_uses(statements: Statements, last_used_at_us: Mapping[str, int]) -> None:
    """Write when keys were last used, by key id; never moves back."""
    # In order, so that two servers that note the same keys never wait for each other in a circle.
    await statements.execute_many(_NOTE_USE, [(last_used_at_us[key_id], key_id) for key_id in sorted(last_used_at_us)])


async def revoke(statements: Statements, revocation: Revocation) -> None:
    """Store a revocation of tokens. Raises `InvalidRequest` when the organization has `REVOCATIONS_MAX`."""
    await statements.lock(_LOCK)
    organization_id = revocation.organization_id
    if revocation.kind is RevocationKind.ORGANIZATION:
        # Whatever was revoked before is covered by this one.
        await statements.execute(_DELETE_ALL, organization_id)
        await statements.execute(_REVOKE_ALL_KEYS, revocation.revoked_at_us, organization_id)
    else:
        [(count,)] = await statements.fetch(_COUNT, organization_id)
        refuse_beyond_revocations_max(count)
    await _put(statements, revocation_row(revocation))


async def revocations_since(statements: Statements, number: int) -> list[Revocation]:
    """Give every revocation with a higher number, of all organizations, by number."""
    return [to_revocation(row) for row in await statements.fetch(_SINCE, number)]


async def list_revocations(statements: Statements, organization_id: str) -> list[Revocation]:
    """Give the revocations of an organization, oldest first."""
    return [to_revocation(row) for row in await statements.fetch(_LIST, organization_id)]


async def _put(statements: Statements, row: tuple[str, str, str, int]) -> None:
    """Write a row with a new number, also where it was there: whoever follows the numbers must see it."""
    await statements.lock(_LOCK)
    await statements.execute(_DELETE, *row[:3])
    await statements.execute(_INSERT, *row)
