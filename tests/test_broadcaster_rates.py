"""Flushes to subscribers that chose a rate: who gets what, when, and as whose bytes."""

from __future__ import annotations

import asyncio

from sensorcast.broadcaster import SensorStreamService, in_use_room
from sensorcast.hub import Hub
from sensorcast.model import Reading, Room
from sensorcast.stream.rates import RATES, Mode, Rate
from tests.broadcasting import Dashboard, run_in_virtual_time, service_of
from tests.stream.readings import reading

LATEST = Rate(1, Mode.LATEST)
SECOND = Rate(2, Mode.ALL)


def follow(hub: Hub, room: Room, rate: Rate) -> Dashboard:
    """A dashboard at a rate, in the rooms that the gateway puts it into."""
    return Dashboard(hub, rate.room(room), in_use_room(rate, Room.organization(reading())))


async def flushed(service: SensorStreamService, *readings_of_each: list[Reading]) -> None:
    for readings in readings_of_each:
        for each in readings:
            service.add_reading("a", each)
        await service.flush()


async def test_who_chose_a_rate_gets_everything_of_the_flushes_between_in_one_batch() -> None:
    hub = Hub()
    full, slow = Dashboard(hub, "org:a"), follow(hub, Room.organization(reading()), SECOND)
    await flushed(service_of(hub), [reading("u1", 1)], [reading("u1", 2), reading("u2")], [reading("u1", 3)], [])
    assert [(each["unitId"], each["count"]) for each in slow.batches] == [("u1", 2), ("u2", 1), ("u1", 1)]
    assert slow.ids == ["a/u1/1", "a/u1/2", "a/u2/0", "a/u1/3"]
    assert len(full.batches) == 4
    numbers = [each["seq"] for each in slow.batches]
    assert numbers == sorted(numbers)


async def test_who_chose_the_latest_gets_one_reading_a_batch() -> None:
    hub = Hub()
    latest = follow(hub, Room.organization(reading()), LATEST)
    await flushed(service_of(hub), [reading("u1", 2), reading("u1", 5), reading("u1", 1)], [reading("u1", 7)])
    assert latest.ids == ["a/u1/5", "a/u1/7"]


async def test_a_rate_may_be_of_one_unit_and_equal_choices_share_the_bytes() -> None:
    hub = Hub()
    room = Room.unit(reading(), "u1")
    one, other = follow(hub, room, SECOND), follow(hub, room, SECOND)
    await flushed(service_of(hub), [reading("u1", 1), reading("u2", 1)], [reading("u1", 2)])
    assert one.ids == other.ids == ["a/u1/1", "a/u1/2"]
    assert one.bundles[0] is other.bundles[0]


async def test_nothing_waits_for_a_rate_that_nobody_chose() -> None:
    hub = Hub()
    service = service_of(hub)
    left = follow(hub, Room.organization(reading()), SECOND)
    hub.drop(left)
    await flushed(service, [reading()])
    assert [list(service.stream.rated.organizations(rate)) for rate in RATES] == [[]] * len(RATES)


def test_the_last_flush_sends_what_still_waits_for_slower_subscribers() -> None:
    async def scenario() -> None:
        hub = Hub()
        slow = follow(hub, Room.organization(reading()), Rate(60, Mode.ALL))
        service = service_of(hub)
        service.start()
        service.add_reading("a", reading())
        await asyncio.sleep(3)
        assert slow.ids == []
        await service.stop()
        assert slow.ids == ["a/u1/0"]

    run_in_virtual_time(scenario())
