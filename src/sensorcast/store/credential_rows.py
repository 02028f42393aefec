"""API keys and revocations as rows, alike in every database, and how many of them there may be.

The invariant: a row gives back the key or the revocation it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sensorcast.errors import InvalidRequest
from sensorcast.model import ApiKey, Revocation, RevocationKind, Scope
from sensorcast.store import KEYS_MAX, REVOCATIONS_MAX

KEY_COLUMNS: Final = (
    "key_id, organization_id, name, secret_sha256, created_at_us, revoked_at_us, scopes, expires_at_us, last_used_at_us"
)
REVOCATION_COLUMNS: Final = "organization_id, kind, subject, revoked_at_us, revocation_no"
"""Selected; the number is given by the database, so that the others are those of `revocation_row`."""


def key_row(key: ApiKey) -> tuple[Any, ...]:
    """Give the row of a key, in the order of `KEY_COLUMNS`."""
    return (
        key.key_id,
        key.organization_id,
        key.name,
        key.secret_sha256,
        key.created_at_us,
        key.revoked_at_us,
        " ".join(sorted(key.scopes)),
        key.expires_at_us,
        key.last_used_at_us,
    )


def to_key(row: Iterable[Any]) -> ApiKey:
    """Give the key of a row."""
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


def revocation_row(revocation: Revocation) -> tuple[str, str, str, int]:
    """Give the row of a revocation, without the number that it gets."""
    return revocation.organization_id, revocation.kind.value, revocation.subject, revocation.revoked_at_us


def to_revocation(row: Iterable[Any]) -> Revocation:
    """Give the revocation of a row, in the order of `REVOCATION_COLUMNS`."""
    organization_id, kind, subject, revoked_at_us, number = row
    return Revocation(
        organization_id=organization_id,
        kind=RevocationKind(kind),
        subject=subject,
        revoked_at_us=revoked_at_us,
        number=number,
    )


def refuse_beyond_keys_max(count: int) -> None:
    """Raise `InvalidRequest` when an organization with so many keys is to get another one."""
    if count >= KEYS_MAX:
        raise InvalidRequest(f"an organization has {KEYS_MAX} API keys at most")


def refuse_beyond_revocations_max(count: int) -> None:
    """Raise `InvalidRequest` when an organization with so many revocations is to get another one."""
    if count >= REVOCATIONS_MAX:
        raise InvalidRequest(
            f"an organization has {REVOCATIONS_MAX} revocations at most", hint="Revoke the whole organization."
        )
