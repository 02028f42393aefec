"""Group commit on PostgreSQL: bounded, shared, and nobody is left waiting."""

from __future__ import annotations

import asyncio
from random import Random

import asyncpg
import pytest

from sensorcast.errors import Unavailable
from sensorcast.metrics import REGISTRY
from sensorcast.model import Verdict
from sensorcast.settings import Settings
from sensorcast.store.postgres_writer import PostgresWriter
from tests.readings import SECOND_US, reading, series
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


@pytest.mark.parametrize(("each", "groups"), [(10, 1), (100, 2)], ids=["few", "many"])
async def test_sessions_share_what_waits_when_it_is_worth_a_commit_each(
    postgres: PostgresServer, each: int, groups: int
) -> None:
    writer = await started(postgres)
    await writer.append([reading("u0", 10**9)])  # what must be there before is made
    before = commits()
    results = await asyncio.gather(*(writer.append(series(each, f"u{number}")) for number in range(20)))
    assert results == [[Verdict.STORED] * each] * 20
    assert commits() - before == groups
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


async def test_a_group_that_must_wait_does_not_hold_up_the_next(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    writer, other = PostgresWriter(url, Settings(), random=Random(1)), await asyncpg.connect(url)
    await writer.start()
    await writer.append([reading("slow"), reading("quick")])
    async with other.transaction():
        await other.execute(
            "INSERT INTO readings (unit_no, recorded_at_us, received_at_us, organization_no, id, device_id, source) "
            "SELECT unit_no, recorded_at_us + 1, 0, organization_no, gen_random_uuid(), '', 'other' "
            "FROM readings JOIN units USING (unit_no, organization_no) WHERE unit_id = 'slow'"
        )
        slow = writer.append([reading("slow", 1)])
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        assert await writer.append([reading("quick", 1)]) == [Verdict.STORED]
        assert not slow.done()
    assert await slow == [Verdict.CONFLICT]
    await other.close()
    await writer.close()


async def test_the_same_readings_in_any_order_never_wait_for_each_other_in_a_circle(postgres: PostgresServer) -> None:
    writer = await started(postgres, Settings(queue_max_readings=100_000))
    mixed = [series(400)[:: 1 if number % 2 else -1] for number in range(30)]
    verdicts = await asyncio.gather(*map(writer.append, mixed))
    assert sorted(found.value for each in verdicts for found in each) == ["duplicate"] * 400 * 29 + ["stored"] * 400
    await writer.close()


async def test_an_id_that_could_be_that_of_another_reading_is_judged_in_its_turn(postgres: PostgresServer) -> None:
    writer = await started(postgres)
    owner = reading("owner", 1)
    thief = reading("thief", 90 * 86_400 * SECOND_US, given_id=owner.id)
    results = await asyncio.gather(*(writer.append([each]) for each in (reading("u"), thief, owner, reading("v"))))
    assert results == [[Verdict.STORED], [Verdict.STORED], [Verdict.CONFLICT], [Verdict.STORED]]
    await writer.close()


async def test_nothing_is_taken_after_the_close(postgres: PostgresServer) -> None:
    writer = await started(postgres)
    await writer.close()
    with pytest.raises(Unavailable, match="closed"):
        writer.append([reading()])
