"""The flush tick: timer in virtual time, fair order, one bad part that stops nothing, numbers that only grow."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import structlog

from sensorcast.broadcaster import FlushStats, SensorStreamService
from sensorcast.hub import NO_ROOMS, Hub
from sensorcast.metrics import FLUSH_ERRORS
from sensorcast.model import Room
from sensorcast.stream import SensorStream
from sensorcast.wire.frame import Bundle
from tests.stream.readings import reading

NOW_US = 1_795_000_000_000_000


class Dashboard:
    """A subscriber that decodes what it gets, and may do something then."""

    def __init__(self, hub: Hub, *rooms: str, then: Callable[[], None] = lambda: None) -> None:
        self.rooms: frozenset[str] = NO_ROOMS
        self.batches: list[dict[str, Any]] = []
        self.bundles: list[Bundle] = []
        self.then = then
        for room in rooms:
            hub.join(self, room)

    def deliver(self, bundle: Bundle) -> None:
        self.bundles.append(bundle)
        for frame in bundle.frames:
            name, batch = json.loads(frame.text.removeprefix(b"42"))
            assert name == "sensor:readings:batch"
            self.batches.append(batch)
        self.then()

    @property
    def ids(self) -> list[str]:
        return [each["id"] for batch in self.batches for each in batch["readings"]]


class VirtualTimeSelector(selectors.DefaultSelector):
    """Never waits: the time the loop would have waited is added to its clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = VirtualTimeSelector()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now_s


def run_in_virtual_time(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(coroutine)


def service_of(hub: Hub, **options: Any) -> SensorStreamService:
    return SensorStreamService(hub, **{"now_us": lambda: NOW_US} | options)


def now_s() -> float:
    return round(asyncio.get_running_loop().time(), 3)


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


async def test_a_large_flush_gives_the_loop_turns_and_goes_out_in_bounded_bundles() -> None:
    hub = Hub()
    dashboard, service = Dashboard(hub, "org:a"), service_of(hub, batch_max_bytes=16_384)
    for number in range(2_000):
        service.add_reading("a", reading(f"u{number}"))
    turns = 0
    flush = asyncio.ensure_future(service.flush())
    while not flush.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
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
    def publish(self, organization_room: str, batches: Any) -> None:
        if organization_room == "org:a":
            raise RuntimeError("broken room")
        super().publish(organization_room, batches)


async def test_a_room_that_fails_is_counted_and_stops_nobody() -> None:
    hub = _HubWithOneBrokenRoom()
    dashboard, service = Dashboard(hub, "org:b"), service_of(hub)
    service.add_reading("a", reading(org="a"))
    service.add_reading("b", reading(org="b"))
    before = FLUSH_ERRORS._value.get()
    await service.flush()
    assert dashboard.ids == ["b/u1/0"]
    assert FLUSH_ERRORS._value.get() == before + 1


async def test_numbers_only_grow_across_flushes_restarts_and_organizations() -> None:
    hub = Hub()
    dashboard = Dashboard(hub, "org:a", "org:b")
    first = service_of(hub)
    for org in "ab":
        for at in range(3):
            first.add_reading(org, reading("u1", at, org=org))
            await first.flush()
    second = service_of(hub, now_us=lambda: NOW_US + 1_000_000)
    second.add_reading("a", reading())
    await second.flush()
    numbers = [each["seq"] for each in dashboard.batches]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == NOW_US + 1_000_000 < 2**53


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


def test_the_timer_flushes_at_whole_intervals_and_does_not_drift() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        hub, times = Hub(), []
        service = service_of(hub, flush_interval_s=0.25)

        def after_each_flush() -> None:
            times.append(now_s())
            # Each flush takes 100 ms; a timer that slept its interval after each would drift by as much.
            loop.virtual.now_s += 0.1
            service.add_reading("a", reading())

        Dashboard(hub, "org:a", then=after_each_flush)
        service.add_reading("a", reading())
        service.start()
        await asyncio.sleep(10.1)
        assert times == [pytest.approx(0.25 * n) for n in range(1, 41)]
        await service.stop()

    run_in_virtual_time(scenario())


def test_missed_ticks_are_skipped_and_not_made_up_for() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        hub, times = Hub(), []
        service = service_of(hub)

        def after_each_flush() -> None:
            times.append(now_s())
            service.add_reading("a", reading())
            if len(times) == 2:
                loop.virtual.now_s += 3.5

        Dashboard(hub, "org:a", then=after_each_flush)
        service.add_reading("a", reading())
        service.start()
        await asyncio.sleep(7.5)
        assert times == [1, 2, 6, 7]
        await service.stop()

    run_in_virtual_time(scenario())


def test_stop_flushes_once_more_at_once_and_ends_the_timer() -> None:
    async def scenario() -> None:
        hub = Hub()
        dashboard, service = Dashboard(hub, "org:a"), service_of(hub, flush_interval_s=60.0)
        service.start()
        await asyncio.sleep(5)
        service.add_reading("a", reading())
        await service.stop()
        assert (now_s(), dashboard.ids) == (5, ["a/u1/0"])
        service.add_reading("a", reading("u2"))
        await asyncio.sleep(600)
        assert dashboard.ids == ["a/u1/0"]
        assert len(asyncio.all_tasks()) == 1

    run_in_virtual_time(scenario())


def test_start_and_stop_may_be_called_again_and_at_any_time() -> None:
    async def scenario() -> None:
        hub = Hub()
        dashboard, service = Dashboard(hub, "org:a"), service_of(hub)
        await service.stop()
        service.start()
        service.start()
        assert len(asyncio.all_tasks()) == 2
        await asyncio.gather(service.stop(), service.stop())
        await service.stop()
        service.start()
        service.add_reading("a", reading())
        await asyncio.sleep(1.5)
        assert dashboard.ids == ["a/u1/0"]
        await service.stop()
        assert len(asyncio.all_tasks()) == 1

    run_in_virtual_time(scenario())


class _StreamThatFailsOnce(SensorStream):
    failed = False

    def drain(self) -> Any:
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")
        return super().drain()


def test_a_flush_that_fails_as_a_whole_does_not_end_the_timer() -> None:
    async def scenario() -> None:
        hub = Hub()
        dashboard = Dashboard(hub, "org:a")
        service = service_of(hub, stream=_StreamThatFailsOnce())
        service.add_reading("a", reading())
        service.start()
        await asyncio.sleep(1.5)
        assert dashboard.ids == []
        await asyncio.sleep(1)
        assert dashboard.ids == ["a/u1/0"]
        await service.stop()

    before = FLUSH_ERRORS._value.get()
    run_in_virtual_time(scenario())
    assert FLUSH_ERRORS._value.get() == before + 1
