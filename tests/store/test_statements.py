"""Both databases run statements alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import apsw
import asyncpg
import pytest

from sensorcast.store.postgres_statements import PostgresStatements
from sensorcast.store.sqlite_statements import SqliteStatements
from sensorcast.store.statements import Statements
from tests.support.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
async def statements(request: pytest.FixtureRequest) -> AsyncIterator[Statements]:
    if request.param == "sqlite":
        database = apsw.Connection(":memory:")
        database.execute("CREATE TABLE things (name text PRIMARY KEY, size bigint)")
        yield SqliteStatements(database)
        database.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    connection = await asyncpg.connect(await server.new_database())
    await connection.execute("CREATE TABLE things (name text PRIMARY KEY, size bigint)")
    yield PostgresStatements(connection)
    await connection.close()


async def things(statements: Statements) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await statements.fetch("SELECT name, size FROM things ORDER BY name")]


async def test_execute_tells_how_many_rows_it_changed(statements: Statements) -> None:
    insert = "INSERT INTO things (name, size) VALUES ($1, $2) ON CONFLICT DO NOTHING"
    assert [await statements.execute(insert, "a", 1) for _ in range(2)] == [1, 0]
    await statements.execute_many(insert, [("b", 1), ("c", 2)])
    assert await statements.execute("UPDATE things SET size = $1 WHERE size = $2", 3, 1) == 2
    assert await statements.execute("DELETE FROM things WHERE name = $1", "z") == 0
    assert await things(statements) == [("a", 3), ("b", 3), ("c", 2)]


async def test_a_text_is_found_among_others(statements: Statements) -> None:
    await statements.execute_many("INSERT INTO things (name, size) VALUES ($1, $2)", [("a", 1), ("b'", 1), ("c", 2)])
    sql = f"SELECT name FROM things WHERE size > $1 AND size < $2 AND name {statements.among_3} ORDER BY name"
    for wanted, found in ((["c", "b'", "x"], ["b'", "c"]), ([], [])):
        assert [row[0] for row in await statements.fetch(sql, 0, 9, wanted)] == found
