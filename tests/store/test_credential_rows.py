"""Keys and revocations become rows and come back; how many an organization may have."""

from __future__ import annotations

import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import ApiKey, Revocation, RevocationKind, Scope
from sensorcast.store import KEYS_MAX, REVOCATIONS_MAX
from sensorcast.store.credential_rows import (
    KEY_COLUMNS,
    key_row,
    refuse_beyond_keys_max,
    refuse_beyond_revocations_max,
    revocation_row,
    to_key,
    to_revocation,
)


@pytest.mark.parametrize("scopes", [frozenset(), frozenset(Scope)], ids=["no scope", "every scope"])
def test_a_key_comes_back_as_it_went_in(scopes: frozenset[Scope]) -> None:
    key = ApiKey(
        key_id="k",
        organization_id="acme",
        name="gateway 1",
        secret_sha256="ab",
        created_at_us=1,
        revoked_at_us=2,
        scopes=scopes,
        expires_at_us=3,
        last_used_at_us=4,
    )
    assert to_key(key_row(key)) == key
    assert len(key_row(key)) == KEY_COLUMNS.count(",") + 1


@pytest.mark.parametrize("kind", RevocationKind)
def test_a_revocation_comes_back_with_its_number(kind: RevocationKind) -> None:
    revocation = Revocation(organization_id="acme", kind=kind, subject="s", revoked_at_us=5, number=7)
    assert to_revocation((*revocation_row(revocation), 7)) == revocation


@pytest.mark.parametrize(
    ("refuse", "most"), [(refuse_beyond_keys_max, KEYS_MAX), (refuse_beyond_revocations_max, REVOCATIONS_MAX)]
)
def test_one_more_than_the_most_is_refused(refuse, most: int) -> None:
    refuse(most - 1)
    with pytest.raises(InvalidRequest, match=f"{most} .* at most"):
        refuse(most)
