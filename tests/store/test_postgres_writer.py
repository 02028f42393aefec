"""Group commit on PostgreSQL: bounded, shared, and nobody is left waiting."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from sensorcast.errors import Unavailable
from sensorcast.metrics import REGISTRY
from sensorcast.model import Verdict
from sensorcast.settings import Settings
from sensorcast.store.postgres_writer import PostgresWriter
from tests.readings import reading, series
from tests.support.postgres import PostgresServer


async def started(postgres: PostgresServer, settings: Settings | None = None) -> PostgresWriter:
    writer = PostgresWriter(await postgres.new_database(), settings or Settings(), random=Random(1))
    await writer.start()
    return writer


async def test_appends_that_wait_share_a_commit(postgres: PostgresServer) -> None:
    writer = await started(postgres)
    before = commits()
    results = await asyncio.gather(*(writer.append([reading(f"u{number}")]) for number in range(50)))
    assert results == [[Verdict.STORED]] * 50
    assert commits() - before <= 2
    await writer.close()


def commits() -> float:
    return REGISTRY.get_sample_value("sensorcast_store_commit_seconds_count") or 0.0


async def test_beyond_its_bounds_work_is_refused_at_once_and_later_taken_again(postgres: PostgresServer) -> None:
    writer = await started(postgres, Settings(queue_max_readings=10))
    taken = writer.append(series(8))
    with pytest.raises(Unavailable, match="queue_max_readings"):
        writer.append(series(3))
    await taken
    assert await writer.append(series(3)) == [Verdict.DUPLICATE] * 3
    await writer.close()


async def test_a_change_is_done_in_its_turn(postgres: PostgresServer) -> None:
    writer = await started(postgres)
    first = writer.append([reading()])
    count = writer.change(lambda connection: connection.fetchval("SELECT count(*) FROM readings"))
    last = writer.append([reading("u2")])
    assert await asyncio.gather(first, count, last) == [[Verdict.STORED], 1, [Verdict.STORED]]
    await writer.close()


async def test_nothing_is_taken_after_the_close(postgres: PostgresServer) -> None:
    writer = await started(postgres)
    await writer.close()
    with pytest.raises(Unavailable, match="closed"):
        writer.append([reading()])
