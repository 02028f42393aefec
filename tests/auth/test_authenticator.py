"""The one check behind every door: address first, then the credential, then whether it was revoked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensorcast.auth import (
    Attempts,
    Authenticator,
    KeyRing,
    KeySource,
    OtherOrganization,
    Revocations,
    TokenVerifier,
    mint_token,
    new_api_key,
)
from sensorcast.errors import Forbidden, QuotaExceeded, TokenExpired, Unauthenticated
from sensorcast.model import ApiKey, Identity, Revocation, RevocationKind, Role, Scope
from sensorcast.settings import Settings

from .jwk import key_set, public_jwk, signed

NOW_S = 1_795_000_000.0
SECRET = b"a secret of more than thirty-two bytes"
CLAIMS: dict[str, Any] = {"sub": "user-1", "org": "acme", "role": "viewer", "exp": int(NOW_S) + 60}


class Door:
    def __init__(self, key_file: Path | None = None) -> None:
        settings = Settings(bad_credentials_burst=5)
        self.stored: dict[str, ApiKey] = {}
        self.asked = 0
        self.revocations = Revocations()
        self.source = None if key_file is None else KeySource(str(key_file), clock_s=lambda: 0.0)
        attempts = Attempts(settings, lambda: 0.0)
        self.authenticator = Authenticator(
            TokenVerifier(settings, SECRET, self.source.find if self.source else lambda _: None),
            KeyRing(self.find, 5.0, lambda: 0.0, attempts=attempts, now_s=lambda: NOW_S),
            attempts=attempts,
            revocations=self.revocations,
            source=self.source,
        )

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        return self.stored.get(key_id)

    def key(self, *scopes: Scope, expires_at_us: int | None = None) -> str:
        key, text = new_api_key("acme", "x", int(NOW_S * 1e6), scopes=scopes, expires_at_us=expires_at_us)
        self.stored[key.key_id] = key
        return text

    async def prove(self, credential: str, organization_id: str | None = None) -> Identity:
        return await self.authenticator.prove(
            credential, now_s=NOW_S, address="192.0.2.1", organization_id=organization_id
        )


def token(ttl_s: float = 60) -> str:
    return mint_token(SECRET, organization_id="acme", role=Role.STAFF, subject="me", ttl_s=ttl_s, now_s=NOW_S)


async def test_a_good_token_needs_no_wait() -> None:
    identity = Door().authenticator.prove_now(token(), now_s=NOW_S, address="192.0.2.1")
    assert identity is not None
    assert (identity.organization_id, identity.role) == ("acme", Role.STAFF)


@pytest.mark.parametrize(
    ("scopes", "role"),
    [((Scope.READ,), Role.VIEWER), ((Scope.ADMIN,), Role.ADMIN), ((Scope.INGEST, Scope.READ, Scope.ADMIN), Role.ADMIN)],
)
async def test_a_key_acts_in_the_role_of_its_scope(scopes: tuple[Scope, ...], role: Role) -> None:
    door = Door()
    identity = await door.prove(door.key(*scopes, expires_at_us=int((NOW_S + 9) * 1e6)))
    assert (identity.organization_id, identity.role, identity.expires_at_s) == ("acme", role, NOW_S + 9)
    assert identity.subject == f"key:{identity.key_id}"


async def test_a_key_that_only_sends_readings_sees_nothing() -> None:
    door = Door()
    with pytest.raises(Forbidden, match="may only send"):
        await door.prove(door.key(Scope.INGEST))


async def test_a_key_is_for_its_own_organization() -> None:
    door = Door()
    text = door.key(Scope.READ)
    assert (await door.prove(text, "acme")).organization_id == "acme"
    with pytest.raises(OtherOrganization):
        await door.prove(text, "globex")


async def test_a_new_key_of_the_provider_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("ES256", "k1")))
    door = Door(file)
    assert (await door.prove(signed("ES256", CLAIMS, key_id="k1"))).subject == "user-1"
    with pytest.raises(Unauthenticated, match="not known here"):
        await door.prove(signed("ES256", CLAIMS, key_id="k2"))


async def test_too_many_bad_credentials_are_not_even_looked_at() -> None:
    door = Door()
    for number in range(5):
        bad = signed("HS256", CLAIMS, key_id="k1", key=b"x" * 32) if number % 2 else "nonsense"
        with pytest.raises(Unauthenticated):
            await door.prove(bad)
    for credential in ("nonsense", token(), new_api_key("acme", "x", 1)[1]):
        with pytest.raises(QuotaExceeded):
            await door.prove(credential)
    assert door.asked == 0


async def test_tokens_that_held_once_are_no_guesses() -> None:
    door = Door()
    for _ in range(20):
        with pytest.raises(TokenExpired):
            await door.prove(token(ttl_s=-60))
        with pytest.raises(OtherOrganization):
            await door.prove(token(), "globex")
    assert (await door.prove(token())).subject == "me"


async def test_revoked_credentials_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("ES256", "k1")))
    door = Door(file)
    door.revocations.add(
        Revocation(
            organization_id="acme", kind=RevocationKind.ORGANIZATION, subject="", revoked_at_us=int((NOW_S + 1) * 1e6)
        )
    )
    for credential in (token(), door.key(Scope.READ), signed("ES256", CLAIMS, key_id="k1")):
        with pytest.raises(Unauthenticated, match="revoked"):
            await door.prove(credential)
