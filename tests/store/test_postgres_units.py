"""Numbers and partitions are made once, by whoever of several servers comes first."""

from __future__ import annotations

import asyncio

import pytest

from sensorcast.store import postgres_units
from sensorcast.store.postgres_server import connect, migrate
from sensorcast.store.postgres_units import PARTITION_US, Partitions, UnitNumbers, partition_name
from tests.support.postgres import PostgresServer

KEYS = {("a", "u1", None), ("a", "u1", "d"), ("a", "u2", None), ("b", "u1", None)}


async def test_servers_that_learn_the_same_units_at_once_get_the_same_numbers(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    connections = [await connect(url) for _ in range(4)]
    await migrate(connections[0])
    learned = [UnitNumbers() for _ in connections]
    await asyncio.gather(
        *(numbers.learn(connection, KEYS) for numbers, connection in zip(learned, connections, strict=True))
    )
    assert len({tuple(numbers[key] for key in sorted(KEYS, key=str)) for numbers in learned}) == 1
    assert len({learned[0][key][1] for key in KEYS}) == 3
    for connection in connections:
        await connection.close()


async def test_the_cache_of_numbers_is_bounded(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_units, "_CACHED_SENDERS", 4)
    connection, numbers = await connect(await postgres.new_database()), UnitNumbers()
    await migrate(connection)
    await numbers.learn(connection, KEYS)
    await numbers.learn(connection, {("c", "u1", None), ("a", "u1", None)})
    assert len(numbers._known) == 2
    await connection.close()


async def test_servers_that_need_the_same_partition_at_once_make_one(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    connections = [await connect(url) for _ in range(4)]
    await migrate(connections[0])
    await asyncio.gather(*(Partitions().make(connection, {1, PARTITION_US, -1}) for connection in connections))
    found = await connections[0].fetch("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1")
    assert {row[0] for row in found} >= {"readings_0", "readings_1", "readings_m1"}
    for connection in connections:
        await connection.close()


def test_partitions_before_1970_have_names_too() -> None:
    assert [partition_name(number) for number in (0, 7, -7)] == ["readings_0", "readings_7", "readings_m7"]
