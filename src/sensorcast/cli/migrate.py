"""The command `migrate`: the schema brought up to date, and the move from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from sensorcast import app
from sensorcast.cli.credentials import open_store
from sensorcast.cli.options import REGISTRY_BOUNDS, load, with_settings
from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings
from sensorcast.store.move import Moved, move
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite_source import SqliteSource


@click.command()
@click.option("--from-sqlite", is_flag=True, help="Move everything from the SQLite database in --data to PostgreSQL.")
@with_settings("data", "database_url", *REGISTRY_BOUNDS)
def migrate(from_sqlite: bool, **flags: Any) -> None:
    """Bring the database's schema up to date, as `serve` does on start. Move from SQLite to PostgreSQL.

    A move that is interrupted goes on where it was when the same command is given again.
    """
    chosen = load(flags)
    if not from_sqlite:
        asyncio.run(_open_once(chosen))
        click.echo("the schema is up to date")
        return
    if not chosen.database_url:
        raise ConfigurationError("say where to: --database-url postgresql://user@host/name")
    moved = asyncio.run(_move(chosen))
    click.echo(
        f"moved {moved.stored} readings, {moved.keys} keys and {moved.entries} entries of the registry; "
        f"{moved.before + moved.duplicates} readings were there already, {moved.conflicts} are there with other values"
    )


async def _open_once(chosen: Settings) -> None:
    async with open_store(chosen):
        pass


async def _move(chosen: Settings) -> Moved:
    path = Path(chosen.data) / app.DATABASE_NAME
    source = await asyncio.to_thread(SqliteSource, path, chosen.store_busy_timeout_ms)
    try:
        target = PostgresStore(chosen.database_url, chosen)
        await target.open()
        try:
            return await _move_shown(source, target)
        finally:
            await target.close()
    finally:
        source.close()


async def _move_shown(source: SqliteSource, target: PostgresStore) -> Moved:
    with click.progressbar(length=1, label="moving readings", show_pos=True) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return await move(source, target, on_page=show)
