"""The checks of a running server: news of revocations reach it, uses of keys reach the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sensorcast.auth import AuthService, key_source, mint_token, new_api_key, service
from sensorcast.errors import Unauthenticated, Unavailable
from sensorcast.model import Identity, Revocation, RevocationKind, Role, Scope
from sensorcast.settings import Settings
from tests.support.identity import SECRET, Credentials

from .jwk import key_set, public_jwk, signed

NOW_S = 1_795_000_000.0


class Running:
    """A started service over credentials in memory; remembers what it was told to cut."""

    def __init__(self, **settings: Any) -> None:
        self.store = Credentials()
        self.cut: list[tuple[set[str], Callable[[Identity], bool]]] = []
        self.service = AuthService(
            Settings(revocation_poll_s=0.05, **settings),
            SECRET,
            self.store,
            now_s=lambda: NOW_S,
            clock_s=lambda: 0.0,
            on_revoked=self.on_revoked,
        )

    def on_revoked(self, organization_ids: Collection[str], is_revoked: Callable[[Identity], bool]) -> None:
        self.cut.append((set(organization_ids), is_revoked))

    async def __aenter__(self) -> Running:
        await self.service.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.service.stop()

    def revoke(self, kind: RevocationKind, subject: str = "") -> None:
        self.store.revocations.append(
            Revocation(
                organization_id="acme",
                kind=kind,
                subject=subject,
                revoked_at_us=int(NOW_S * 1e6),
                number=len(self.store.revocations) + 1,
            )
        )

    async def prove(self, credential: str) -> Identity:
        return await self.service.authenticator.prove(credential, now_s=NOW_S, address="")


def token() -> str:
    return mint_token(SECRET, organization_id="acme", role=Role.STAFF, subject="me", ttl_s=60, now_s=NOW_S)


async def test_what_was_revoked_before_the_start_is_known_at_once() -> None:
    running = Running()
    running.revoke(RevocationKind.USER, "me")
    async with running:
        with pytest.raises(Unauthenticated):
            await running.prove(token())


async def test_news_arrive_by_themselves_and_are_passed_on() -> None:
    async with Running() as running:
        identity = await running.prove(token())
        running.revoke(RevocationKind.USER, "me")
        async with asyncio.timeout(30):
            while not running.cut:
                await asyncio.sleep(0.01)
        ((organizations, is_revoked),) = running.cut
        assert (organizations, is_revoked(identity)) == ({"acme"}, True)


@pytest.mark.parametrize("kind", [RevocationKind.KEY, RevocationKind.ORGANIZATION])
async def test_a_revoked_key_is_not_remembered(kind: RevocationKind) -> None:
    async with Running() as running:
        key, text = new_api_key("acme", "x", 1, scopes=[Scope.READ])
        running.store.keys[key.key_id] = key
        await running.service.keys.identify(text)
        running.store.keys[key.key_id] = msgspec.structs.replace(key, revoked_at_us=2)
        running.revoke(kind, key.key_id if kind is RevocationKind.KEY else "")
        await running.service.look()
        with pytest.raises(Unauthenticated):
            await running.service.keys.identify(text)


async def test_uses_of_keys_are_written_together_at_the_stop() -> None:
    async with Running() as running:
        for _ in range(3):
            key, text = new_api_key("acme", "x", 1)
            running.store.keys[key.key_id] = key
            await running.service.keys.identify(text)
            await running.service.keys.identify(text)
        assert running.store.uses == []
    assert [set(uses) for uses in running.store.uses] == [set(running.store.keys)]


async def test_uses_are_written_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "USES_WRITTEN_S", 0.01)
    async with Running() as running:
        key, text = new_api_key("acme", "x", 1)
        running.store.keys[key.key_id] = key
        await running.service.keys.identify(text)
        async with asyncio.timeout(30):
            while not running.store.uses:
                await asyncio.sleep(0.01)


async def test_a_store_that_cannot_note_uses_does_not_stop_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(_: object) -> None:
        raise Unavailable("down")

    async with Running() as running:
        key, text = new_api_key("acme", "x", 1)
        running.store.keys[key.key_id] = key
        await running.service.keys.identify(text)
        monkeypatch.setattr(running.store, "note_key_uses", down)


async def test_the_keys_of_a_provider_are_there_from_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("EdDSA", "k1")))
    claims = {"sub": "you", "org": "acme", "role": "viewer", "exp": int(NOW_S) + 60}
    async with Running(jwt_jwks=str(file)) as running:
        assert (await running.prove(signed("EdDSA", claims, key_id="k1"))).subject == "you"
        assert (await running.prove(token())).subject == "me"


async def prove_again_and_again(running: Running, credential: str) -> None:
    while True:
        await running.prove(credential)
        await asyncio.sleep(0.01)


async def test_a_key_that_the_provider_has_withdrawn_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_source, "RETRY_S", 0.0)
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("EdDSA", "k1")))
    credential = signed("EdDSA", {"sub": "you", "org": "acme", "role": "viewer", "exp": int(NOW_S) + 60}, key_id="k1")
    async with Running(jwt_jwks=str(file), jwt_jwks_refresh_s=0.01) as running:
        await running.prove(credential)
        file.write_bytes(key_set(public_jwk("EdDSA", "k2")))
        with pytest.raises(Unauthenticated):
            await asyncio.wait_for(prove_again_and_again(running, credential), 30)
