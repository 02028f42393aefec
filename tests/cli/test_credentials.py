"""Claims about the commands for keys and tokens: what they print works, what they revoke does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sensorcast.auth import KeyRing, TokenVerifier, load_or_create_secret
from sensorcast.cli import main
from sensorcast.cli.credentials import open_store
from sensorcast.errors import Unauthenticated
from sensorcast.model import ApiKey, Revocation, RevocationKind, Scope
from sensorcast.settings import Settings
from tests.support.waiting import wait_until


def _run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--data", str(data)])


async def _identify(data: Path, text: str) -> ApiKey:
    async with open_store(Settings(data=str(data))) as store:
        return await KeyRing(store.find_key, 0.0, time.monotonic, now_s=time.time).identify(text)


def test_a_created_key_identifies_its_organization(tmp_path: Path) -> None:
    created = _run(tmp_path, "keys", "create", "--org", "acme", "--name", "gateway 1")
    assert created.exit_code == 0
    key = asyncio.run(_identify(tmp_path, created.stdout.strip()))
    assert (key.organization_id, key.name) == ("acme", "gateway 1")


def test_the_list_shows_the_keys_of_one_organization_without_secrets(tmp_path: Path) -> None:
    text = _run(tmp_path, "keys", "create", "--org", "acme", "--name", "gateway").stdout.strip()
    _run(tmp_path, "keys", "create", "--org", "globex")
    listed = _run(tmp_path, "keys", "list", "--org", "acme").stdout
    assert listed.count("\n") == 1
    assert "gateway" in listed
    assert text.split("_")[1] in listed
    assert text.split("_")[2] not in listed


def test_a_revoked_key_holds_no_longer(tmp_path: Path) -> None:
    text = _run(tmp_path, "keys", "create", "--org", "acme").stdout.strip()
    key_id = text.split("_")[1]
    assert _run(tmp_path, "keys", "revoke", "--org", "acme", key_id).exit_code == 0
    assert "revoked" in _run(tmp_path, "keys", "list", "--org", "acme").stdout
    with pytest.raises(Unauthenticated):
        asyncio.run(_identify(tmp_path, text))


@pytest.mark.parametrize("organization", ["globex", "nobody"])
def test_a_key_of_others_cannot_be_revoked(tmp_path: Path, organization: str) -> None:
    text = _run(tmp_path, "keys", "create", "--org", "acme").stdout.strip()
    result = _run(tmp_path, "keys", "revoke", "--org", organization, text.split("_")[1])
    assert result.exit_code == 2
    assert f"{organization} has no live key" in result.stderr
    assert asyncio.run(_identify(tmp_path, text)).organization_id == "acme"


def test_a_token_proves_who_it_says(tmp_path: Path) -> None:
    printed = _run(tmp_path, "token", "--org", "acme", "--role", "admin", "--ttl", "2h", "--sub", "ada").stdout.strip()
    settings = Settings(data=str(tmp_path))
    identity = TokenVerifier(settings, load_or_create_secret(settings)).verify(printed, now_s=time.time())
    assert (identity.organization_id, identity.role, identity.subject) == ("acme", "admin", "ada")
    assert identity.expires_at_s == pytest.approx(time.time() + 7_200, abs=60)


def test_a_data_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = _run(tmp_path / "file", "keys", "list", "--org", "acme")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_scopes_and_end_of_a_key_are_what_was_asked(tmp_path: Path) -> None:
    options = ("--scope", "read", "--scope", "ingest", "--ttl", "90d")
    text = _run(tmp_path, "keys", "create", "--org", "acme", *options).stdout.strip()
    key = asyncio.run(_identify(tmp_path, text))
    assert key.scopes == {Scope.READ, Scope.INGEST}
    assert key.expires_at_us is not None
    assert (key.expires_at_us - key.created_at_us) == 90 * 86_400 * 1_000_000
    assert "ingest,read  never used" in _run(tmp_path, "keys", "list", "--org", "acme").stdout


def test_an_ended_key_holds_no_longer(tmp_path: Path) -> None:
    text = _run(tmp_path, "keys", "create", "--org", "acme", "--ttl", "1s").stdout.strip()
    wait_until(lambda: not asyncio.run(_is_good(tmp_path, text)), within_s=30, what="the key has ended")


async def _is_good(data: Path, text: str) -> bool:
    async with open_store(Settings(data=str(data))) as store:
        try:
            await KeyRing(store.find_key, 0.0, time.monotonic, now_s=time.time).identify(text)
        except Unauthenticated:
            return False
        return True


@pytest.mark.parametrize(
    ("options", "kind", "subject"),
    [
        (("--user", "ada"), RevocationKind.USER, "ada"),
        (("--token-id", "abc"), RevocationKind.TOKEN, "abc"),
        (("--all",), RevocationKind.ORGANIZATION, ""),
    ],
)
def test_a_revocation_is_stored(tmp_path: Path, options: tuple[str, ...], kind: RevocationKind, subject: str) -> None:
    assert _run(tmp_path, "revoke", "--org", "acme", *options).exit_code == 0

    async def stored() -> list[Revocation]:
        async with open_store(Settings(data=str(tmp_path))) as store:
            return await store.list_revocations("acme")

    (found,) = asyncio.run(stored())
    assert (found.kind, found.subject) == (kind, subject)
    assert found.revoked_at_us / 1e6 == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("options", [(), ("--user", "a", "--all"), ("--user", ""), ("--token-id", "x" * 257)])
def test_a_revocation_names_one_thing(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert _run(tmp_path, "revoke", "--org", "acme", *options).exit_code == 2
