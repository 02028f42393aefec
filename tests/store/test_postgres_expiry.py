"""Expiry on PostgreSQL: partitions in which all is old go whole."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest
from msgspec import structs

from sensorcast.errors import Unavailable
from sensorcast.model import Verdict
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from tests.readings import SECOND_US, T0_US, reading, series
from tests.support.postgres import PostgresServer

DAY_US = 86_400 * SECOND_US


async def test_a_partition_in_which_all_is_old_goes_in_one_step_and_can_come_back(postgres: PostgresServer) -> None:
    store = PostgresStore(await postgres.new_database(), Settings())
    await store.open()
    await store.append([*series(500), reading("u2", 90 * DAY_US)])
    assert await store.expire(before_us=T0_US + 60 * DAY_US, limit=10) >= 1
    assert await store.expire(before_us=T0_US + 60 * DAY_US, limit=10) == 0
    assert [found.unit_id for found in await store.units("acme", after=None, limit=9)] == ["u2"]
    assert await store.append(series(2)) == [Verdict.STORED] * 2
    await store.close()


async def test_a_partition_that_somebody_reads_for_long_is_left_for_later_and_is_no_trouble_of_the_store(
    postgres: PostgresServer,
) -> None:
    url = await postgres.new_database()
    store, dump = PostgresStore(url, Settings()), await asyncpg.connect(url)
    await store.open()
    await store.append([*series(5), reading("u2", 90 * DAY_US)])
    async with dump.transaction():
        await dump.fetch("SELECT * FROM readings")
        with pytest.raises(Unavailable, match="in use"):
            await store.expire(before_us=T0_US + 60 * DAY_US, limit=10)
        assert await store.trouble() is None
    assert await store.expire(before_us=T0_US + 60 * DAY_US, limit=10) >= 1
    await dump.close()
    await store.close()


async def test_ids_given_by_clients_go_with_the_partition_of_their_readings(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    store, shell = PostgresStore(url, Settings()), await asyncpg.connect(url)
    await store.open()
    await store.append([structs.replace(each, given_id=str(uuid4())) for each in series(50)])
    while await store.expire(before_us=T0_US + 60 * DAY_US, limit=10):
        pass
    assert await shell.fetchval("SELECT count(*) FROM given_ids") == 0
    await shell.close()
    await store.close()
