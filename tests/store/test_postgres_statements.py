"""Statements on PostgreSQL; what they have in common with those on SQLite is in `test_statements`."""

from __future__ import annotations

import asyncio

import asyncpg

from sensorcast.store.postgres_statements import PostgresStatements
from tests.support.postgres import PostgresServer


async def test_a_lock_keeps_others_out_to_the_end_of_the_transaction(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    first, second = await asyncpg.connect(url), await asyncpg.connect(url)
    lock, ended = "SELECT pg_advisory_xact_lock($1)", False

    async def take() -> bool:
        async with second.transaction():
            await PostgresStatements(second).lock(lock, 7)
            return ended

    async with first.transaction():
        await PostgresStatements(first).lock(lock, 7)
        taking = asyncio.create_task(take())
        await first.execute("SELECT pg_sleep(0.1)")
        ended = True
    assert await taking
    await first.close()
    await second.close()
