"""Moving a database to PostgreSQL, as an operator does it: killed in the midst, the command goes on where it was."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from sensorcast.app import DATABASE_NAME
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.readings import SECOND_US, series
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

READINGS, A_TIME = 60_000, 10_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def fill() -> None:
        store = SqliteStore(tmp_path / DATABASE_NAME, Settings())
        await store.open()
        for start in range(0, READINGS, A_TIME):
            await store.append(series(A_TIME, start_us=start * SECOND_US))
        await store.close()

    asyncio.run(fill())
    return tmp_path


def stored(url: str) -> int:
    """How many readings have arrived; none while there is no table."""

    async def ask() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM readings"))
        except asyncpg.UndefinedTableError:
            return 0
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_move_that_is_killed_goes_on_where_it_was(data: Path, postgres: PostgresServer) -> None:
    url = asyncio.run(postgres.new_database())
    arguments = ("migrate", "--from-sqlite", "--data", str(data), "--database-url", url)
    command = [sys.executable, "-m", "sensorcast", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: stored(url) > 0, within_s=60, what="first readings in PostgreSQL")
        first.kill()
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    said = re.search(r"moved (\d+) readings, .*; (\d+) readings were there already, 0 are there", done.stdout)
    assert said, done.stdout
    moved, before = int(said[1]), int(said[2])
    assert (moved + before, before > 0, moved > 0) == (READINGS, True, True)
    assert "moving readings" in done.stdout
    assert stored(url) == READINGS
