"""Expiry on PostgreSQL: partitions in which all is old go whole."""

from __future__ import annotations

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
