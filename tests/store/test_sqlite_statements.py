"""Statements on SQLite: bindings by number, and work that never waits."""

from __future__ import annotations

import asyncio

import apsw
import pytest

from sensorcast.store.sqlite_statements import run
from sensorcast.store.statements import Statements


@pytest.fixture
def connection() -> apsw.Connection:
    return apsw.Connection(":memory:")


def test_bindings_are_found_by_their_numbers_in_whichever_order(connection: apsw.Connection) -> None:
    async def work(statements: Statements) -> list[tuple[str, ...]]:
        return list(await statements.fetch("SELECT $2, $1, $2", "one", "two"))

    assert run(work, connection) == [("two", "one", "two")]


def test_what_fails_fails_with_its_own_error(connection: apsw.Connection) -> None:
    async def work(statements: Statements) -> None:
        await statements.execute("DELETE FROM things")

    with pytest.raises(apsw.SQLError, match="no such table"):
        run(work, connection)


def test_work_that_waits_for_anything_else_is_a_fault(connection: apsw.Connection) -> None:
    async def work(_statements: Statements) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited"):
        run(work, connection)
