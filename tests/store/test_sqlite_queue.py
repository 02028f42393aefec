"""The queue before the writer refuses at its bounds and gives back what waits, in groups."""

from __future__ import annotations

import asyncio

import pytest

from sensorcast.errors import Unavailable
from sensorcast.metrics import REGISTRY
from sensorcast.settings import Settings
from sensorcast.store.sqlite_queue import Append, Change, WriteQueue
from tests.readings import reading, series


async def job(count: int, **fields: object) -> Append:
    return Append([reading(at_us=number, **fields) for number in range(count)], asyncio.Future())


async def test_readings_beyond_the_bound_are_refused_at_once() -> None:
    queue = WriteQueue(Settings(queue_max_readings=10))
    queue.put(await job(8))
    with pytest.raises(Unavailable, match=r"10 readings \(setting queue_max_readings\)") as caught:
        queue.put(await job(3))
    assert caught.value.retry_after_s == 1
    queue.put(await job(2))


async def test_bytes_beyond_the_bound_are_refused_at_once() -> None:
    queue = WriteQueue(Settings(queue_max_bytes=1024))
    queue.put(await job(1))
    with pytest.raises(Unavailable, match=r"1024 bytes \(setting queue_max_bytes\)"):
        queue.put(await job(1, metrics={f"m{number}": 1.0 for number in range(10)}))
    queue.put(await job(1))


async def test_one_request_larger_than_the_bounds_is_taken_when_nothing_waits() -> None:
    queue = WriteQueue(Settings(queue_max_readings=10, queue_max_bytes=1024))
    large = await job(50)
    queue.put(large)
    with pytest.raises(Unavailable):
        queue.put(await job(1))
    queue.free([large])
    queue.put(await job(1))


async def test_places_are_free_again_after_the_work() -> None:
    queue = WriteQueue(Settings(queue_max_readings=2))
    for _ in range(5):
        both = await job(2)
        queue.put(both)
        assert REGISTRY.get_sample_value("sensorcast_ingest_queue_readings") == 2
        queue.free([both])
    assert REGISTRY.get_sample_value("sensorcast_ingest_queue_readings") == 0


async def test_other_changes_take_the_place_of_one_reading() -> None:
    queue = WriteQueue(Settings(queue_max_readings=1))
    queue.put(Change(lambda _: None, asyncio.Future()))
    with pytest.raises(Unavailable):
        queue.put(Change(lambda _: None, asyncio.Future()))


async def test_a_group_is_all_that_was_handed_over() -> None:
    queue = WriteQueue(Settings())
    jobs = [await job(1) for _ in range(3)]
    assert [queue.put(each) for each in jobs] == [True, False, False]
    assert queue.take_group(0.001) == ([], False)
    queue.hand_over()
    assert queue.take_group(None) == (jobs, False)
    assert queue.take_group(0.001) == ([], False)


async def test_a_group_takes_no_more_once_it_is_large() -> None:
    queue = WriteQueue(Settings())
    large = Append(series(6_000), asyncio.Future())
    small = await job(1)
    queue.put(large)
    queue.put(small)
    queue.end()
    assert queue.take_group(None) == ([large], False)
    assert queue.take_group(None) == ([small], True)
