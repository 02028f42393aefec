"""Flushes to subscribers that chose a rate: who gets what, when, and as whose bytes."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from sensorcast.broadcaster import UNITS_PER_STEP, SensorStreamService
from sensorcast.hub import Hub
from sensorcast.model import Reading, Room
from sensorcast.stream.rates import RATES, Mode, Rate, in_use_room
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


async def test_late_readings_are_not_the_latest() -> None:
    hub = Hub()
    latest = follow(hub, Room.organization(reading()), LATEST)
    await flushed(service_of(hub), [reading("u1", 5)], [reading("u1", 2)])
    assert latest.ids == ["a/u1/5"]


async def test_a_rate_may_be_of_one_unit_and_equal_choices_share_the_bytes() -> None:
    hub = Hub()
    room = Room.unit(reading(), "u1")
    one, other = follow(hub, room, SECOND), follow(hub, room, SECOND)
    await flushed(service_of(hub), [reading("u1", 1), reading("u2", 1)], [reading("u1", 2)])
    assert one.ids == other.ids == ["a/u1/1", "a/u1/2"]
    assert one.bundles[0] is other.bundles[0]


async def test_who_follows_the_organization_at_a_rate_gets_each_unit_once_whatever_it_follows_besides() -> None:
    hub = Hub()
    slow = follow(hub, Room.organization(reading()), SECOND)
    hub.join(slow, Room.unit(reading(), "u1"))
    await flushed(service_of(hub), [reading("u1", 1)], [reading("u1", 2)])
    assert slow.ids == ["a/u1/1", "a/u1/2"]


async def test_who_follows_a_unit_and_its_site_at_two_rates_gets_the_unit_once_at_the_faster_one() -> None:
    hub = Hub()
    unit, site = Room.unit(reading(), "u1"), Room.site(reading(), "s1")
    fast_unit, fast_site = follow(hub, site, SECOND), follow(hub, unit, SECOND)
    hub.join(fast_unit, unit)
    hub.join(fast_site, site)
    both = [reading("u1", 1, site_id="s1"), reading("u2", 1, site_id="s1")]
    await flushed(service_of(hub), both, [reading("u1", 2, site_id="s1")])
    assert fast_unit.ids == ["a/u1/1", "a/u1/2", "a/u2/1"]
    assert fast_site.ids == ["a/u1/1", "a/u2/1", "a/u1/2"]


async def test_a_unit_that_moves_away_from_a_faster_site_goes_on_at_its_own_rate() -> None:
    hub = Hub()
    both = follow(hub, Room.unit(reading(), "u1"), SECOND)
    hub.join(both, Room.site(reading(), "s1"))
    moves = [[reading("u1", 1, site_id="s1")], [reading("u1", 2, site_id="s2")]]
    await flushed(service_of(hub), *moves, [reading("u1", 3, site_id="s2")], [])
    assert set(both.ids) == {"a/u1/1", "a/u1/2", "a/u1/3"}


async def test_nothing_waits_for_a_rate_that_nobody_chose() -> None:
    hub = Hub()
    service = service_of(hub)
    left = follow(hub, Room.organization(reading()), SECOND)
    hub.drop(left)
    await flushed(service, [reading()])
    assert [list(service.stream.rated.organizations(rate)) for rate in RATES] == [[]] * len(RATES)


async def test_readings_of_many_units_are_put_aside_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensorcast.broadcaster.SLICE_S", 0.0)
    hub = Hub()
    service, waiting = service_of(hub), [0]
    follow(hub, Room.organization(reading()), SECOND)
    flushing = asyncio.create_task(flushed(service, [reading(f"u{number}") for number in range(5 * UNITS_PER_STEP)]))
    while not flushing.done():
        await asyncio.sleep(0)
        waiting.append(service.stream.rated._buffers[SECOND].sizes(None)[0])
    assert waiting[-1] == 5 * UNITS_PER_STEP
    assert max(after - before for before, after in pairwise(waiting)) == UNITS_PER_STEP


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


async def test_a_site_room_gets_the_units_whose_readings_name_it_at_its_rate() -> None:
    hub = Hub()
    site = Room.site(reading(), "north")
    full, slow = Dashboard(hub, site), follow(hub, site, SECOND)
    here, there = reading("u1", 1, site_id="north"), reading("u2", 1, site_id="south")
    await flushed(service_of(hub), [here, there, reading("u3", 1)], [reading("u1", 2, site_id="north")])
    assert full.ids == slow.ids == ["a/u1/1", "a/u1/2"]
    assert (len(full.batches), len(slow.batches)) == (2, 1)


async def test_who_is_in_the_room_of_the_site_and_of_the_unit_gets_each_batch_once() -> None:
    hub = Hub()
    both = Dashboard(hub, Room.site(reading(), "north"), Room.unit(reading(), "u1"))
    await flushed(service_of(hub), [reading("u1", 1, site_id="north"), reading("u2", 1, site_id="north")])
    assert both.ids == ["a/u1/1", "a/u2/1"]


async def test_the_same_site_id_in_two_organizations_never_mixes() -> None:
    hub = Hub()
    theirs = Dashboard(hub, Room.site(reading(org="b"), "north"))
    await flushed(service_of(hub), [reading("u1", 1, site_id="north")])
    assert theirs.ids == []
