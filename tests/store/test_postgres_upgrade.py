"""A database of the version that stored derived ids is brought up to date, whatever is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sensorcast.model import Reading
from sensorcast.store import postgres_upgrade
from sensorcast.store.derived_ids import sender_digest, sender_of
from sensorcast.store.postgres_server import _migrations, connect, migrate
from sensorcast.store.postgres_units import PARTITION_US, Partitions
from tests.readings import SECOND_US, reading
from tests.support.postgres import PostgresServer

DAY_US = 86_400 * SECOND_US
STORED = [
    reading(),
    reading("u2", 7),
    reading("u2", 8, device_id="d1"),
    reading("u2", -60 * 365 * DAY_US - 1, device_id="d1"),
    reading(at_us=90 * DAY_US),
]
"""With derived ids, in three partitions."""

GIVEN = [reading("u2", given_id=reading("u9").id), reading(at_us=1, given_id=reading(at_us=2).id)]
"""With ids in the form of derived ones of their very millisecond: only the indexes of partitions knew them."""


@pytest.fixture
async def connection(postgres: PostgresServer) -> AsyncIterator[Any]:
    """To a database of version 5 that holds these readings."""
    connection = await connect(await postgres.new_database())
    await make_earlier_version(connection)
    yield connection
    await connection.close()


async def make_earlier_version(connection: Any) -> None:
    for number in range(1, 6):
        await connection.execute(_migrations()[number])
    await connection.execute("CREATE TABLE schema_version AS SELECT 5 AS version")
    await connection.execute("INSERT INTO organizations (organization_id) VALUES ('acme')")
    await connection.execute("INSERT INTO units (organization_no, unit_id) VALUES (1, 'u1'), (1, 'u2')")
    await Partitions().make(connection, [each.recorded_at_us for each in STORED])
    for (name,) in await connection.fetch("SELECT inhrelid::regclass::text FROM pg_inherits"):
        if name.startswith("readings_") and "_pkey" not in name:
            await connection.execute(f"CREATE UNIQUE INDEX {name}_by_id ON {name} (organization_no, id)")
    await connection.executemany(
        "INSERT INTO readings (unit_no, recorded_at_us, device_id, organization_no, id, received_at_us, source) "
        "VALUES ($1, $2, $3, 1, $4, 0, 'api')",
        [(int(each.unit_id[1:]), each.recorded_at_us, each.device_id or "", each.id) for each in (*STORED, *GIVEN)],
    )


async def test_who_has_sent_is_known_afterwards(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_upgrade, "_A_TIME", 2)
    assert await migrate(connection) == (5, max(_migrations()))
    found = {tuple(row) for row in await connection.fetch("SELECT * FROM senders")}
    assert found == {sender_row(each) for each in STORED}


def sender_row(item: Reading) -> tuple[object, ...]:
    return (1, sender_digest(sender_of(item)), int(item.unit_id[1:]), item.device_id or "")


async def test_ids_that_only_an_index_kept_unique_are_given_ids_afterwards_and_derived_ones_are_not(
    connection: Any,
) -> None:
    await migrate(connection)
    found = await connection.fetch("SELECT organization_no, id::text, recorded_at_us, like_ours FROM given_ids")
    assert {tuple(row) for row in found} == {(1, each.id, each.recorded_at_us, True) for each in GIVEN}


async def test_the_indexes_of_ids_are_gone_and_ids_may_be_absent(connection: Any) -> None:
    await migrate(connection)
    assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%by_id'") == 0
    await connection.execute("UPDATE readings SET id = NULL")
    with pytest.raises(asyncpg.NotNullViolationError):
        await connection.execute("UPDATE readings SET source = NULL")
    await Partitions().make(connection, [STORED[0].recorded_at_us + 9 * PARTITION_US])
    assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%by_id'") == 0
