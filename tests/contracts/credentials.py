"""The contract of `KeyStore` and `RevocationStore` about what ends credentials, run on every implementation.

A twin of an implementation subclasses it and gives the fixture `open_store`, as for the contract of readings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import pytest

from sensorcast.errors import InvalidRequest
from sensorcast.model import ApiKey, Revocation, RevocationKind, Scope
from sensorcast.store import KeyStore, RevocationStore
from tests.readings import T0_US


class Credentials(KeyStore, RevocationStore, Protocol):
    """Both contracts in one."""

    async def close(self) -> None: ...


OpenCredentials = Callable[[], Awaitable[Credentials]]


def key(key_id: str = "k1", organization_id: str = "acme") -> ApiKey:
    return ApiKey(
        key_id=key_id,
        organization_id=organization_id,
        name="gateway",
        secret_sha256="ab" * 32,
        created_at_us=T0_US,
        scopes=frozenset({Scope.INGEST, Scope.ADMIN}),
        expires_at_us=T0_US + 9,
    )


def revocation(
    kind: RevocationKind, subject: str = "", organization_id: str = "acme", at_us: int = T0_US
) -> Revocation:
    return Revocation(organization_id=organization_id, kind=kind, subject=subject, revoked_at_us=at_us)


class CredentialContract:
    @pytest.fixture
    async def store(self, open_store: OpenCredentials) -> Credentials:
        return await open_store()

    async def test_scopes_and_end_of_a_key_are_kept(self, store: Credentials) -> None:
        await store.create_key(key())
        assert await store.find_key("k1") == key()

    async def test_the_last_use_of_a_key_never_moves_back(self, store: Credentials) -> None:
        await store.create_key(key())
        await store.note_key_uses({"k1": T0_US + 7, "unknown": 1})
        await store.note_key_uses({"k1": T0_US + 3})
        assert await store.find_key("k1") == msgspec.structs.replace(key(), last_used_at_us=T0_US + 7)

    async def test_what_is_new_has_a_higher_number(self, store: Credentials) -> None:
        await store.revoke(revocation(RevocationKind.TOKEN, "t1"))
        (first,) = await store.revocations_since(0)
        assert msgspec.structs.replace(first, number=0) == revocation(RevocationKind.TOKEN, "t1")
        await store.revoke(revocation(RevocationKind.USER, "me", "globex"))
        (second,) = await store.revocations_since(first.number)
        assert (second.organization_id, second.kind, second.subject) == ("globex", RevocationKind.USER, "me")
        assert await store.revocations_since(second.number) == []

    async def test_revoking_again_is_news_and_replaces_the_first(self, store: Credentials) -> None:
        for at_us in (T0_US, T0_US + 1):
            await store.revoke(revocation(RevocationKind.USER, "me", at_us=at_us))
        (only,) = await store.list_revocations("acme")
        assert only.revoked_at_us == T0_US + 1
        await store.revoke(revocation(RevocationKind.TOKEN, "t1"))
        assert [each.subject for each in await store.revocations_since(only.number)] == ["t1"]

    async def test_numbers_are_never_given_twice(self, store: Credentials) -> None:
        await store.revoke(revocation(RevocationKind.USER, "me"))
        (first,) = await store.revocations_since(0)
        await store.revoke(revocation(RevocationKind.ORGANIZATION))
        (second,) = await store.revocations_since(0)
        assert second.number > first.number

    async def test_a_revoked_key_is_news(self, store: Credentials) -> None:
        await store.create_key(key())
        assert await store.revoke_key("acme", "k1", now_us=T0_US + 5)
        (found,) = await store.revocations_since(0)
        assert (found.organization_id, found.kind, found.subject) == ("acme", RevocationKind.KEY, "k1")
        assert not await store.revoke_key("acme", "k1", now_us=T0_US + 6)
        assert not await store.revoke_key("globex", "k1", now_us=T0_US + 6)
        assert len(await store.revocations_since(0)) == 1

    async def test_revoking_an_organization_takes_its_keys_and_only_its_own(self, store: Credentials) -> None:
        await store.create_key(key("k1", "acme"))
        await store.create_key(key("k2", "globex"))
        await store.revoke(revocation(RevocationKind.TOKEN, "t1"))
        await store.revoke(revocation(RevocationKind.TOKEN, "t1", "globex"))
        assert len(await store.list_revocations("acme")) == 1
        await store.revoke(revocation(RevocationKind.ORGANIZATION))
        keys = [await store.find_key(name) for name in ("k1", "k2")]
        assert [each.revoked_at_us for each in keys if each] == [T0_US, None]
        assert [each.kind for each in await store.list_revocations("acme")] == [RevocationKind.ORGANIZATION]
        assert [each.kind for each in await store.list_revocations("globex")] == [RevocationKind.TOKEN]

    async def test_revocations_are_there_after_reopening(self, store: Credentials, open_store: OpenCredentials) -> None:
        await store.revoke(revocation(RevocationKind.TOKEN, "t1"))
        await store.close()
        assert len(await (await open_store()).revocations_since(0)) == 1

    async def test_another_process_learns_of_a_revocation(
        self, store: Credentials, open_store: OpenCredentials
    ) -> None:
        other = await open_store()
        await other.revoke(revocation(RevocationKind.TOKEN, "t1"))
        assert len(await store.revocations_since(0)) == 1
        await other.close()

    async def test_the_keys_of_an_organization_are_bounded(
        self, store: Credentials, monkeypatch: pytest.MonkeyPatch, revocations_max: str
    ) -> None:
        monkeypatch.setattr(revocations_max.replace("REVOCATIONS", "KEYS"), 1)
        await store.create_key(key("k1"))
        with pytest.raises(InvalidRequest, match="1 API keys"):
            await store.create_key(key("k2"))
        await store.create_key(key("k3", "globex"))

    async def test_the_revocations_of_an_organization_are_bounded(
        self, store: Credentials, monkeypatch: pytest.MonkeyPatch, revocations_max: str
    ) -> None:
        monkeypatch.setattr(revocations_max, 2)
        for subject in ("t1", "t2"):
            await store.revoke(revocation(RevocationKind.TOKEN, subject))
        with pytest.raises(InvalidRequest, match="2 revocations"):
            await store.revoke(revocation(RevocationKind.TOKEN, "t3"))
        await store.revoke(revocation(RevocationKind.TOKEN, "t3", "globex"))
        await store.revoke(revocation(RevocationKind.ORGANIZATION))
        await store.revoke(revocation(RevocationKind.TOKEN, "t4"))
