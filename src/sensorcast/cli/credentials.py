"""The commands for credentials: API keys for devices, tokens for people. They work beside a running server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import click

from sensorcast import app, auth
from sensorcast.cli.options import duration_s, load, organization_option, with_settings
from sensorcast.errors import ConfigurationError
from sensorcast.model import ApiKey, Role, format_time
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore


@click.group()
def keys() -> None:
    """Create, list and revoke the API keys with which devices send readings."""


@keys.command("create")
@organization_option
@click.option("--name", default="", help="What the key is for.")
@with_settings("data")
def create_key(org: str, name: str, **flags: Any) -> None:
    """Create a key and print it, once; only its hash is kept."""
    click.echo(asyncio.run(new_key(load(flags), org, name)))


@keys.command("list")
@organization_option
@with_settings("data")
def list_keys(org: str, **flags: Any) -> None:
    """List the keys of an organization, without their secrets."""
    for key in asyncio.run(_list_keys(load(flags), org)):
        state = "live" if key.revoked_at_us is None else f"revoked {format_time(key.revoked_at_us)}"
        click.echo(f"{key.key_id}  {format_time(key.created_at_us)}  {state}  {key.name}".rstrip())


@keys.command("revoke")
@organization_option
@click.argument("key_id")
@with_settings("data")
def revoke_key(org: str, key_id: str, **flags: Any) -> None:
    """Revoke a key by its id, as `keys list` shows it."""
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
@with_settings("data", "jwt_secret")
def token(org: str, role: str, ttl: int, sub: str, **flags: Any) -> None:
    """Print a token with which a person or program may watch an organization."""
    click.echo(mint(load(flags), org, Role(role), sub, ttl))


@contextlib.asynccontextmanager
async def open_store(chosen: Settings) -> AsyncIterator[SqliteStore]:
    """Open the store of the settings for the length of a block."""
    store = app.open_store(chosen)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def new_key(chosen: Settings, organization_id: str, name: str) -> str:
    """Create a key and give its text."""
    key, text = auth.new_api_key(organization_id, name, time.time_ns() // 1_000)
    async with open_store(chosen) as store:
        await store.create_key(key)
    return text


async def _list_keys(chosen: Settings, organization_id: str) -> Sequence[ApiKey]:
    async with open_store(chosen) as store:
        return await store.list_keys(organization_id)


async def _revoke_key(chosen: Settings, organization_id: str, key_id: str) -> bool:
    async with open_store(chosen) as store:
        return await store.revoke_key(organization_id, key_id, now_us=time.time_ns() // 1_000)


def mint(chosen: Settings, organization_id: str, role: Role, subject: str, ttl_s: int) -> str:
    """Give a token signed with the secret of the settings."""
    secret = auth.load_or_create_secret(chosen)
    return auth.mint_token(
        secret, organization_id=organization_id, role=role, subject=subject, ttl_s=ttl_s, now_s=time.time()
    )
