"""`Statements` on a connection to PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class PostgresStatements:
    """Locks hold others up: several servers may write to one database at the same time."""

    among_3 = "= ANY($3::text[])"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *bindings: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._connection.fetch(sql, *bindings)
        return rows

    async def execute(self, sql: str, *bindings: Any) -> int:
        _, _, count = (await self._connection.execute(sql, *bindings)).rpartition(" ")  # as in `UPDATE 1`
        return int(count)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        await self._connection.executemany(sql, rows)

    async def lock(self, sql: str, *bindings: Any) -> None:
        await self._connection.execute(sql, *bindings)
