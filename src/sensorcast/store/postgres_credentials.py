"""API keys and revocations in PostgreSQL: one function per statement, each on a connection given by `postgres`.

Owns their rows. The invariant: whatever revokes something writes a row of `revocations` in the same transaction, so
that every process that follows that table learns of it; and numbers become visible in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sensorcast.errors import InvalidRequest
from sensorcast.model import ApiKey, Revocation, RevocationKind, Scope
from sensorcast.store import KEYS_MAX, REVOCATIONS_MAX
from sensorcast.store.postgres_registry import know_organization

_LOCK: Final = "SELECT pg_advisory_xact_lock(91625968963587)"
"""Held to the end of a transaction that counts or numbers: without it, a number could appear after a higher one."""

_COLUMNS: Final = (
    "key_id, organization_id, name, secret_sha256, created_at_us, revoked_at_us, scopes, expires_at_us, last_used_at_us"
)
_INSERT_KEY: Final = f"INSERT INTO api_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608 our names
_FIND_KEY: Final = f"SELECT {_COLUMNS} FROM api_keys WHERE key_id = $1"  # noqa: S608
_LIST_KEYS: Final = f"SELECT {_COLUMNS} FROM api_keys WHERE organization_id = $1 ORDER BY created_at_us, key_id"  # noqa: S608
_COUNT_KEYS: Final = "SELECT count(*) FROM api_keys WHERE organization_id = $1"
_REVOKE_KEY: Final = (
    "UPDATE api_keys SET revoked_at_us = $1 WHERE organization_id = $2 AND key_id = $3 AND revoked_at_us IS NULL"
)
_REVOKE_ALL_KEYS: Final = "UPDATE api_keys SET revoked_at_us = $1 WHERE organization_id = $2 AND revoked_at_us IS NULL"
_NOTE_USE: Final = "UPDATE api_keys SET last_used_at_us = greatest(last_used_at_us, $1) WHERE key_id = $2"

_REVOCATION: Final = "organization_id, kind, subject, revoked_at_us, revocation_no"
_DELETE: Final = "DELETE FROM revocations WHERE organization_id = $1 AND kind = $2 AND subject = $3"
_DELETE_ALL: Final = "DELETE FROM revocations WHERE organization_id = $1"
_INSERT: Final = "INSERT INTO revocations (organization_id, kind, subject, revoked_at_us) VALUES ($1, $2, $3, $4)"
_COUNT: Final = "SELECT count(*) FROM revocations WHERE organization_id = $1"
_SINCE: Final = f"SELECT {_REVOCATION} FROM revocations WHERE revocation_no > $1 ORDER BY revocation_no"  # noqa: S608
_LIST: Final = f"SELECT {_REVOCATION} FROM revocations WHERE organization_id = $1 ORDER BY revocation_no"  # noqa: S608


async def insert_key(connection: Any, key: ApiKey) -> None:
    """Store a key, and know its organization. Raises `InvalidRequest` when that has `KEYS_MAX`."""
    await connection.execute(_LOCK)
    if await connection.fetchval(_COUNT_KEYS, key.organization_id) >= KEYS_MAX:
        raise InvalidRequest(f"an organization has {KEYS_MAX} API keys at most")
    row = (key.key_id, key.organization_id, key.name, key.secret_sha256, key.created_at_us, key.revoked_at_us)
    scopes = " ".join(sorted(key.scopes))
    await connection.execute(_INSERT_KEY, *row, scopes, key.expires_at_us, key.last_used_at_us)
    await know_organization(connection, key.organization_id, key.created_at_us)


async def find_key(connection: Any, key_id: str) -> ApiKey | None:
    """Give the key with this id, of whatever organization: it says itself which."""
    if "\0" in key_id:  # PostgreSQL cannot hold it, so no key has it
        return None
    rows = await connection.fetch(_FIND_KEY, key_id)
    return _to_key(rows[0]) if rows else None


async def list_keys(connection: Any, organization_id: str) -> list[ApiKey]:
    """Give the keys of an organization, oldest first."""
    return [_to_key(row) for row in await connection.fetch(_LIST_KEYS, organization_id)]


async def revoke_key(connection: Any, organization_id: str, key_id: str, now_us: int) -> bool:
    """Revoke a key; False when that organization has no such live key."""
    if "\0" in key_id or await connection.execute(_REVOKE_KEY, now_us, organization_id, key_id) != "UPDATE 1":
        return False
    await _put(connection, (organization_id, RevocationKind.KEY.value, key_id, now_us))
    return True


async def note_key_uses(connection: Any, last_used_at_us: Mapping[str, int]) -> None:
    """Write when keys were last used, by key id; never moves back."""
    # In order, so that two servers that note the same keys never wait for each other in a circle.
    moments = [(last_used_at_us[key_id], key_id) for key_id in sorted(last_used_at_us)]
    await connection.executemany(_NOTE_USE, moments)


async def revoke(connection: Any, revocation: Revocation) -> None:
    """Store a revocation of tokens. Raises `InvalidRequest` when the organization has `REVOCATIONS_MAX`."""
    await connection.execute(_LOCK)
    organization_id = revocation.organization_id
    if revocation.kind is RevocationKind.ORGANIZATION:
        # Whatever was revoked before is covered by this one.
        await connection.execute(_DELETE_ALL, organization_id)
        await connection.execute(_REVOKE_ALL_KEYS, revocation.revoked_at_us, organization_id)
    elif await connection.fetchval(_COUNT, organization_id) >= REVOCATIONS_MAX:
        raise InvalidRequest(
            f"an organization has {REVOCATIONS_MAX} revocations at most", hint="Revoke the whole organization."
        )
    await _put(connection, (organization_id, revocation.kind.value, revocation.subject, revocation.revoked_at_us))


async def revocations_since(connection: Any, number: int) -> list[Revocation]:
    """Give every revocation with a higher number, of all organizations, by number."""
    return [_to_revocation(row) for row in await connection.fetch(_SINCE, number)]


async def list_revocations(connection: Any, organization_id: str) -> list[Revocation]:
    """Give the revocations of an organization, oldest first."""
    return [_to_revocation(row) for row in await connection.fetch(_LIST, organization_id)]


async def _put(connection: Any, row: tuple[str, str, str, int]) -> None:
    """Write a row with a new number, also where it was there: whoever follows the numbers must see it."""
    await connection.execute(_LOCK)
    await connection.execute(_DELETE, *row[:3])
    await connection.execute(_INSERT, *row)


def _to_key(row: Sequence[Any]) -> ApiKey:
    key_id, organization_id, name, secret_sha256, created_at_us, revoked_at_us, scopes, expires_at_us, used_at_us = row
    return ApiKey(
        key_id=key_id,
        organization_id=organization_id,
        name=name,
        secret_sha256=secret_sha256,
        created_at_us=created_at_us,
        revoked_at_us=revoked_at_us,
        scopes=frozenset(map(Scope, scopes.split())),
        expires_at_us=expires_at_us,
        last_used_at_us=used_at_us,
    )


def _to_revocation(row: Sequence[Any]) -> Revocation:
    organization_id, kind, subject, revoked_at_us, number = row
    return Revocation(
        organization_id=organization_id,
        kind=RevocationKind(kind),
        subject=subject,
        revoked_at_us=revoked_at_us,
        number=number,
    )
