"""The flush: fair order, one bad part that stops nothing, numbers that only grow."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sensorcast import broadcaster
from sensorcast.broadcaster import FlushStats
from sensorcast.hub import Hub
from sensorcast.metrics import FLUSH_BATCHES, FLUSH_ERRORS
from sensorcast.model import Room
from sensorcast.stream import OrganizationReadings
from tests.broadcasting import NOW_US, Dashboard, service_of
from tests.stream.readings import reading


@pytest.fixture(autouse=True)
def turns_end_by_bytes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, nobody loses a turn to the time that passes."""
    monkeypatch.setattr(broadcaster, "SLICE_S", 60.0)


async def test_a_flush_sends_one_batch_per_unit_to_the_organization_room() -> None:
    hub = Hub()
    dashboard, service = Dashboard(hub, "org:a"), service_of(hub)
    for each in (reading("u1", 5), reading("u2", 1), reading("u1", 2)):
        service.add_reading("a", each)
    stats = await service.flush()
    assert [(each["unitId"], each["count"], each["seq"]) for each in dashboard.batches] == [
        ("u1", 2, NOW_US),
        ("u2", 1, NOW_US + 1),
    ]
    assert dashboard.ids == ["a/u1/2", "a/u1/5", "a/u2/1"]
    assert len(dashboard.bundles) == 1
    assert (stats.readings, stats.units) == (3, 2)


async def test_a_unit_room_gets_its_unit_and_who_is_in_both_rooms_gets_it_once() -> None:
    hub = Hub()
    room = Room.unit(reading(), "u1")
    narrow, both = Dashboard(hub, room), Dashboard(hub, room, "org:a")
    service = service_of(hub)
    service.add_reading("a", reading("u1"))
    service.add_reading("a", reading("u2"))
    await service.flush()
    assert (narrow.ids, both.ids) == (["a/u1/0"], ["a/u1/0", "a/u2/0"])


async def test_the_same_unit_id_in_two_organizations_never_mixes() -> None:
    hub = Hub()
    ours = Dashboard(hub, "org:a", Room.unit(reading(org="a"), "u1"))
    theirs = Dashboard(hub, "org:b", Room.unit(reading(org="b"), "u1"))
    service = service_of(hub)
    service.add_reading("a", reading("u1", org="a"))
    service.add_reading("b", reading("u1", org="b"))
    await service.flush()
    assert (ours.ids, theirs.ids) == (["a/u1/0"], ["b/u1/0"])
    assert service.get_latest_reading("a", "u1") != service.get_latest_reading("b", "u1")
    assert service.get_latest_reading("c", "u1") is None


async def test_small_organizations_go_first() -> None:
    hub = Hub()
    order: list[str] = []
    for name in ("big", "small"):
        Dashboard(hub, f"org:{name}", then=lambda name=name: order.append(name))
    service = service_of(hub)
    for at in range(3):
        service.add_reading("big", reading("u1", at, org="big"))
    service.add_reading("small", reading("u1", org="small"))
    await service.flush()
    assert order == ["small", "big"]


async def test_a_large_flush_gives_the_loop_turns_and_goes_out_in_bounded_bundles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broadcaster, "SLICE_S", 0.005)
    hub = Hub()
    dashboard, service = Dashboard(hub, "org:a"), service_of(hub, batch_max_bytes=16_384)
    for number in range(2_000):
        service.add_reading("a", reading(f"u{number}"))
    turns = 0
    flush = asyncio.ensure_future(service.flush())
    while not flush.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 2
    assert len(dashboard.ids) == len(set(dashboard.ids)) == 2_000
    assert max(len(bundle.websocket) for bundle in dashboard.bundles) < 2 * 16_384


async def test_a_unit_that_cannot_be_encoded_is_counted_and_stops_nobody() -> None:
    hub = Hub()
    dashboard, service = Dashboard(hub, "org:a"), service_of(hub)
    for each in (reading("u1"), reading("u2", source="\ud800"), reading("u3")):
        service.add_reading("a", each)
    before = FLUSH_ERRORS._value.get()
    await service.flush()
    assert [each["unitId"] for each in dashboard.batches] == ["u1", "u3"]
    assert FLUSH_ERRORS._value.get() == before + 1


class _HubWithOneBrokenRoom(Hub):
    def publish_in_slices(self, organization_room: str, batches: Any, **options: Any) -> Iterator[int]:
        if organization_room == "org:a":
            raise RuntimeError("broken room")
        return super().publish_in_slices(organization_room, batches, **options)


async def test_a_room_that_fails_is_counted_and_stops_nobody() -> None:
    hub = _HubWithOneBrokenRoom()
    Dashboard(hub, "org:a")
    dashboard, service = Dashboard(hub, "org:b"), service_of(hub)
    service.add_reading("a", reading(org="a"))
    service.add_reading("b", reading(org="b"))
    before = FLUSH_ERRORS._value.get()
    await service.flush()
    assert dashboard.ids == ["b/u1/0"]
    assert FLUSH_ERRORS._value.get() == before + 1


async def test_readings_are_let_go_with_the_flush_and_not_left_to_the_garbage_collector() -> None:
    service = service_of(Hub())
    gc.collect()
    gc.disable()
    try:
        service.add_reading("a", reading())
        await service.flush()
        assert not [each for each in gc.get_objects() if isinstance(each, OrganizationReadings)]
    finally:
        gc.enable()


async def test_what_nobody_follows_is_not_even_encoded() -> None:
    hub = Hub()
    dashboard, service = Dashboard(hub, "unit:a:u1"), service_of(hub)
    service.add_reading("a", reading("u1", 0))
    service.add_reading("a", reading("u2", 0))
    before = FLUSH_BATCHES._value.get()
    await service.flush()
    assert [each["unitId"] for each in dashboard.batches] == ["u1"]
    assert FLUSH_BATCHES._value.get() == before + 1


async def test_numbers_of_an_organization_only_grow_also_across_restarts_and_do_not_count_others() -> None:
    hub = Hub()
    dashboard, other = Dashboard(hub, "org:a"), Dashboard(hub, "org:b")
    first = service_of(hub)
    for org in "ab":
        for at in range(3):
            first.add_reading(org, reading("u1", at, org=org))
            await first.flush()
    second = service_of(hub, now_us=lambda: NOW_US + 1_000_000)
    second.add_reading("a", reading())
    await second.flush()
    *before, last = (each["seq"] for each in dashboard.batches)
    assert before == [each["seq"] for each in other.batches] == [before[0] + number for number in range(3)]
    assert last == NOW_US + 1_000_000 < 2**53


async def test_an_empty_flush_sends_and_logs_nothing() -> None:
    with structlog.testing.capture_logs() as lines:
        assert await service_of(Hub()).flush() == FlushStats()
    assert lines == []


async def test_a_flush_writes_one_line() -> None:
    service = service_of(Hub())
    for each in (reading("u1", 1), reading("u1", 2), reading("u2"), reading("u1", org="b")):
        service.add_reading(each.organization_id, each)
    with structlog.testing.capture_logs() as lines:
        await service.flush()
    [line] = lines
    assert line.pop("duration_ms") >= 0
    assert line == {"event": "flush", "log_level": "info", "readings": 4, "units": 3, "organizations": 2}


async def test_stats_are_those_of_the_organization_asked_for() -> None:
    service = service_of(Hub())
    for each in (reading("u1", 1), reading("u1", 2), reading("u1", org="b")):
        service.add_reading(each.organization_id, each)
    assert (service.get_stats("a").buffered_readings, service.get_stats("a").buffer_keys) == (2, 1)
    await service.flush()
    ours, unknown, all_of_them = service.get_stats("a"), service.get_stats("c"), service.get_stats()
    assert (ours.buffered_readings, ours.buffer_keys, ours.cached_units) == (0, 0, 1)
    assert (ours.flush.readings, ours.flush.units) == (2, 1)
    assert unknown.flush == FlushStats()
    assert (all_of_them.flush.readings, all_of_them.cached_units) == (3, 2)


class _Marks:
    """Who is delivered to, in order, as (organization, size of the bundle)."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.seen: list[str] = []

    def listen(self, org: str, count: int = 1) -> None:
        for _ in range(count):
            Dashboard(self.hub, f"org:{org}", then=lambda: self.seen.append(org))


async def test_organizations_take_turns_so_a_large_one_delays_a_small_one_by_a_slice() -> None:
    hub = Hub()
    marks, service = _Marks(hub), service_of(hub, batch_max_bytes=4_096)
    for org in ("big", "small"):
        marks.listen(org)
    for number in range(200):
        service.add_reading("big", reading(f"u{number}", org="big"))
    big = asyncio.ensure_future(service._flush_round())
    while not marks.seen:
        await asyncio.sleep(0)
    service.add_reading("small", reading(org="small"))
    await service._flush_round()
    at = marks.seen.index("small")
    await big
    assert 0 < at <= 3
    assert marks.seen.count("big") > 10


async def test_ten_thousand_units_of_one_organization_delay_fifty_small_ones_by_a_slice() -> None:
    hub = Hub()
    marks, service = _Marks(hub), service_of(hub)
    marks.listen("big")
    for number in range(10_000):
        service.add_reading("big", reading(f"u{number}", org="big"))
    big = asyncio.ensure_future(service._flush_round())
    while not marks.seen:
        await asyncio.sleep(0)
    small = [f"small-{number}" for number in range(50)]
    for org in small:
        marks.listen(org)
        service.add_reading(org, reading(org=org))
    await service._flush_round()
    until_all_were_served = marks.seen[: marks.seen.index(small[-1]) + 1]
    await big
    assert [each for each in marks.seen if each != "big"] == small
    assert until_all_were_served.count("big") <= 3
    assert marks.seen.count("big") > 5


async def test_two_large_organizations_alternate_slice_by_slice() -> None:
    hub = Hub()
    marks, service = _Marks(hub), service_of(hub, batch_max_bytes=4_096)
    for org in "ab":
        marks.listen(org)
        for number in range(100):
            service.add_reading(org, reading(f"u{number}", org=org))
    await service.flush()
    assert len(marks.seen) > 10
    assert marks.seen == ["a", "b"] * (len(marks.seen) // 2)


async def test_who_is_still_being_sent_to_is_not_flushed_again_before_the_end() -> None:
    hub = Hub()
    dashboard, service = Dashboard(hub, "org:a"), service_of(hub, batch_max_bytes=4_096)
    for number in range(200):
        service.add_reading("a", reading(f"u{number}"))
    first = asyncio.ensure_future(service._flush_round())
    while not dashboard.batches:
        await asyncio.sleep(0)
    service.add_reading("a", reading("late"))
    assert await service._flush_round() == FlushStats()
    assert service.get_stats("a").buffered_readings == 1
    await first
    assert "a/late/0" not in dashboard.ids
    await service.flush()
    assert dashboard.ids[-1] == "a/late/0"
    numbers = [each["seq"] for each in dashboard.batches]
    assert numbers == sorted(numbers)


async def test_a_flush_called_during_a_flush_waits_and_sends_only_what_came_since() -> None:
    hub = Hub()
    dashboard, service = Dashboard(hub, "org:a"), service_of(hub, batch_max_bytes=4_096)
    for number in range(100):
        service.add_reading("a", reading(f"u{number}"))
    first = asyncio.ensure_future(service.flush())
    while not dashboard.batches:
        await asyncio.sleep(0)
    service.add_reading("a", reading("late"))
    second = await service.flush()
    assert first.done()
    assert second.units == 1
    assert dashboard.ids[-1] == "a/late/0"
    assert len(dashboard.ids) == len(set(dashboard.ids)) == 101
