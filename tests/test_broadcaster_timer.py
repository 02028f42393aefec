"""The flush timer, in virtual time: whole intervals, no drift, late ticks, stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sensorcast.hub import Hub
from sensorcast.metrics import FLUSH_ERRORS
from sensorcast.stream import SensorStream
from tests.broadcasting import Dashboard, now_s, run_in_virtual_time, service_of
from tests.stream.readings import reading


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


def test_a_late_tick_comes_at_once_and_missed_ones_are_not_made_up_for() -> None:
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
        assert times == [1, 2, 5.5, 6, 7]
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

    def drain(self, **options: Any) -> Any:
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")
        return super().drain(**options)


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
