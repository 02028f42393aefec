"""The commands for credentials: API keys for devices, tokens for people. They work beside a running server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import click

from sensorcast import app, auth
from sensorcast.cli.options import duration_s, load, organization_option, with_settings
from sensorcast.entries import NAME_MAX_CHARACTERS, is_line
from sensorcast.errors import ConfigurationError
from sensorcast.model import ApiKey, Revocation, RevocationKind, Role, Scope, format_time
from sensorcast.settings import Settings
from sensorcast.store import Store

_SUBJECT_MAX: Final = 256


@click.group()
def keys() -> None:
    """Create, list and revoke the API keys with which devices and programs act."""


@keys.command("create")
@organization_option
@click.option("--name", default="", help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    default=[Scope.INGEST.value],
    show_default=True,
    help="What it may do: send readings, see what a viewer sees, do what an admin does. May be repeated.",
)
@click.option("--ttl", callback=duration_s, help="How long it holds, like 90d; without it until it is revoked.")
@with_settings("data", "database_url")
def create_key(org: str, name: str, scopes: tuple[str, ...], ttl: int | None, **flags: Any) -> None:
    """Create a key and print it, once; only its hash is kept. For a rotation have two: create, change over, revoke."""
    if not is_line(name):
        raise ConfigurationError(f"--name must be at most {NAME_MAX_CHARACTERS} characters without control characters")
    click.echo(asyncio.run(new_key(load(flags), org, name, scopes=[Scope(each) for each in scopes], ttl_s=ttl)))


@keys.command("list")
@organization_option
@with_settings("data", "database_url")
def list_keys(org: str, **flags: Any) -> None:
    """List the keys of an organization, without their secrets."""
    for key in asyncio.run(_list_keys(load(flags), org)):
        used = "never used" if key.last_used_at_us is None else f"used {format_time(key.last_used_at_us)}"
        scopes = ",".join(sorted(key.scopes))
        click.echo(
            f"{key.key_id}  {format_time(key.created_at_us)}  {_state(key)}  {scopes}  {used}  {key.name}".rstrip()
        )


def _state(key: ApiKey) -> str:
    if key.revoked_at_us is not None:
        return f"revoked {format_time(key.revoked_at_us)}"
    return "live" if key.expires_at_us is None else f"until {format_time(key.expires_at_us)}"


@keys.command("revoke")
@organization_option
@click.argument("key_id")
@with_settings("data", "database_url")
def revoke_key(org: str, key_id: str, **flags: Any) -> None:
    """Revoke a key by its id, as `keys list` shows it; servers follow within seconds."""
    if not asyncio.run(_revoke_key(load(flags), org, key_id)):
        raise ConfigurationError(f"{org} has no live key {key_id!r}")
    click.echo(f"revoked {key_id}")


@click.command()
@organization_option
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.VIEWER.value,
    show_default=True,
    help="What its holder may do.",
)
@click.option(
    "--ttl", default="1h", show_default=True, callback=duration_s, help="How long it holds, like 30m, 1h or 7d."
)
@click.option("--sub", default="cli", show_default=True, help="Who it is for.")
@with_settings("data", "jwt_secret", "jwt_issuer", "jwt_audience")
def token(org: str, role: str, ttl: int, sub: str, **flags: Any) -> None:
    """Print a token with which a person or program may watch an organization."""
    if not 0 < len(sub) <= _SUBJECT_MAX:
        raise ConfigurationError(f"--sub must have 1 to {_SUBJECT_MAX} characters")
    click.echo(mint(load(flags), org, Role(role), sub, ttl))


@click.command()
@organization_option
@click.option("--user", help="Every token of this user (`sub`) issued until now.")
@click.option("--token-id", help="The token with this `jti`.")
@click.option("--all", "everything", is_flag=True, help="Every token issued until now, and every API key.")
@with_settings("data", "database_url")
def revoke(org: str, user: str | None, token_id: str | None, everything: bool, **flags: Any) -> None:
    """Revoke tokens of an organization; servers refuse them and cut their connections within seconds."""
    named = {RevocationKind.USER: user, RevocationKind.TOKEN: token_id, RevocationKind.ORGANIZATION: everything and ""}
    chosen = [(kind, subject) for kind, subject in named.items() if isinstance(subject, str)]
    if len(chosen) != 1:
        raise ConfigurationError("say which: --user, --token-id or --all")
    kind, subject = chosen[0]
    if kind is not RevocationKind.ORGANIZATION and not 0 < len(subject) <= _SUBJECT_MAX:
        raise ConfigurationError(f"a user or token id has 1 to {_SUBJECT_MAX} characters")
    revocation = Revocation(organization_id=org, kind=kind, subject=subject, revoked_at_us=time.time_ns() // 1_000)
    asyncio.run(_revoke(load(flags), revocation))
    click.echo(f"revoked {kind} {subject}".rstrip())


@contextlib.asynccontextmanager
async def open_store(chosen: Settings) -> AsyncIterator[Store]:
    """Open the store of the settings for the length of a block."""
    store = app.open_store(chosen)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def new_key(
    chosen: Settings,
    organization_id: str,
    name: str,
    *,
    scopes: Sequence[Scope] = (Scope.INGEST,),
    ttl_s: int | None = None,
) -> str:
    """Create a key and give its text."""
    now_us = time.time_ns() // 1_000
    expires_at_us = None if ttl_s is None else now_us + ttl_s * 1_000_000
    key, text = auth.new_api_key(organization_id, name, now_us, scopes=scopes, expires_at_us=expires_at_us)
    async with open_store(chosen) as store:
        await store.create_key(key)
    return text


async def _list_keys(chosen: Settings, organization_id: str) -> Sequence[ApiKey]:
    async with open_store(chosen) as store:
        return await store.list_keys(organization_id)


async def _revoke(chosen: Settings, revocation: Revocation) -> None:
    async with open_store(chosen) as store:
        await store.revoke(revocation)


async def _revoke_key(chosen: Settings, organization_id: str, key_id: str) -> bool:
    async with open_store(chosen) as store:
        return await store.revoke_key(organization_id, key_id, now_us=time.time_ns() // 1_000)


def mint(chosen: Settings, organization_id: str, role: Role, subject: str, ttl_s: int) -> str:
    """Give a token signed with the secret of the settings."""
    secret = auth.load_or_create_secret(chosen)
    return auth.mint_token(
        secret,
        organization_id=organization_id,
        role=role,
        subject=subject,
        ttl_s=ttl_s,
        now_s=time.time(),
        settings=chosen,
    )
