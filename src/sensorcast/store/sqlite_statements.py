"""`Statements` on a connection to SQLite, and how what is written against them runs in a thread.

The invariant: nothing here ever waits, so work that waits for nothing but statements runs to its end in one go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apsw

from sensorcast.store.statements import T, Work


class SqliteStatements:
    """Locks are not needed: whoever writes is the only one, from the beginning of the transaction to its end."""

    among_3 = "IN (SELECT value FROM json_each($3))"

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *bindings: Any) -> Sequence[Any]:
        return self._connection.execute(_spelled(sql), [_bound(each) for each in bindings]).fetchall()

    async def execute(self, sql: str, *bindings: Any) -> int:
        self._connection.execute(_spelled(sql), bindings)
        return self._connection.changes()

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(_spelled(sql), rows)

    async def lock(self, sql: str, *bindings: Any) -> None:
        pass


def run(work: Work[T], connection: apsw.Connection) -> T:
    """Do `work`; give what it returns."""
    steps = work(SqliteStatements(connection)).__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("work on SQLite waited for something that is no statement")


def _spelled(sql: str) -> str:
    """Name bindings by their numbers: to SQLite, `$2` is any name, and the first one that it meets is the first."""
    return sql.replace("$", "?")


def _bound(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value
