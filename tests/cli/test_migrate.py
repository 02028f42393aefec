"""The command that brings schemas up to date and moves databases."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from sensorcast.app import DATABASE_NAME
from sensorcast.cli import main
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.registry import unit
from tests.contracts.store import history
from tests.readings import series
from tests.support.postgres import PostgresServer


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["migrate", *arguments])


def filled(data: Path, count: int) -> str:
    """Give a data folder with some readings."""

    async def fill() -> None:
        store = SqliteStore(data / DATABASE_NAME, Settings())
        await store.open()
        await store.append(series(count))
        await store.put_entry(unit(name="Fridge"))
        await store.close()

    asyncio.run(fill())
    return str(data)


def test_a_new_database_is_made_and_an_old_one_left_as_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        result = run("--data", str(tmp_path))
        assert (result.exit_code, result.output) == (0, "the schema is up to date\n")
    assert (tmp_path / DATABASE_NAME).exists()


def test_a_move_says_what_it_has_moved_and_again_that_it_was_there(tmp_path: Path, postgres: PostgresServer) -> None:
    data, url = filled(tmp_path, 30), asyncio.run(postgres.new_database())
    first = run("--from-sqlite", "--data", data, "--database-url", url)
    assert "moved 30 readings, 0 keys and 2 entries of the registry; 0 readings were there already" in first.output
    again = run("--from-sqlite", "--data", data, "--database-url", url)
    assert "moved 0 readings, 0 keys and 0 entries of the registry; 30 readings were there" in again.output

    async def found() -> int:
        store = PostgresStore(url, Settings())
        await store.open()
        try:
            return len(await history(store))
        finally:
            await store.close()

    assert asyncio.run(found()) == 30


def test_a_move_to_nowhere_or_from_nothing_is_refused(tmp_path: Path) -> None:
    nowhere = run("--from-sqlite", "--data", str(tmp_path))
    assert (nowhere.exit_code, "--database-url" in nowhere.output) == (2, True)
    nothing = run("--from-sqlite", "--data", str(tmp_path), "--database-url", "postgresql://x@127.0.0.1:1/x")
    assert (nothing.exit_code, "there is no database" in nothing.output) == (2, True)
