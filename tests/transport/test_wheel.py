"""The wheel: each entry at its tick, one tick a turn, and a stall that costs nobody anything."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.transport.wheel import MAX_TICK_S, MIN_TICK_S, RETRY_S, TimerWheel
from tests.transport.fakes import live


class Entry:
    """Remembers when it was called; asks again after `every_s`, until `times` are over."""

    def __init__(self, every_s: float | None = None, times: int = 1_000) -> None:
        self.calls_s: list[float] = []
        self._every_s = every_s
        self._times = times

    def due(self, now_s: float) -> float | None:
        self.calls_s.append(now_s)
        if self._every_s is None or len(self.calls_s) >= self._times:
            return None
        return now_s + self._every_s


class Broken(Entry):
    """An entry with a fault in it."""

    def due(self, now_s: float) -> float | None:
        super().due(now_s)
        raise RuntimeError("broken entry")


class StandInLoop:
    """As much of an event loop as a timer needs, with a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, act: Callable[..., None], *args: Any) -> Handle:
        handle = Handle(act, args)
        heapq.heappush(self._timers, (at_s, next(self._numbers), handle))
        return handle

    def run(self, seconds: float) -> None:
        """Pass time smoothly: every timer fires at its moment."""
        end_s = self.now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            self.now_s = max(self.now_s, self._timers[0][0])
            self.fire_one()
        self.now_s = end_s

    def stall(self, seconds: float) -> None:
        """Pass time in which nothing runs."""
        self.now_s += seconds

    def fire_one(self) -> None:
        """Run the next timer, late or not."""
        _, _, handle = heapq.heappop(self._timers)
        handle.run()


class Handle:
    def __init__(self, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._act, self._args = act, args
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def run(self) -> None:
        if not self._cancelled:
            self._act(*self._args)


def started(shortest_timeout_s: float = 2.0) -> tuple[TimerWheel, StandInLoop]:
    wheel, loop = TimerWheel(shortest_timeout_s), StandInLoop()
    wheel.start(cast(asyncio.AbstractEventLoop, loop))
    return wheel, loop


@pytest.mark.parametrize(("shortest_s", "tick_s"), [(10.0, MAX_TICK_S), (2.0, 0.1), (0.2, 0.01), (0.001, MIN_TICK_S)])
def test_a_tick_is_a_twentieth_of_the_shortest_timeout_within_bounds(shortest_s: float, tick_s: float) -> None:
    assert TimerWheel(shortest_s).tick_s == tick_s


def test_an_entry_is_called_at_the_first_tick_at_or_after_its_moment() -> None:
    wheel, entry = TimerWheel(2.0), Entry()
    wheel.add(entry, 0.25)
    live(wheel, 1.0)
    assert entry.calls_s == [pytest.approx(0.3)]


def test_an_entry_whose_moment_is_over_is_called_at_the_next_tick() -> None:
    wheel, entry = TimerWheel(2.0), Entry()
    live(wheel, 1.0)
    wheel.add(entry, 0.5)
    wheel.advance()
    assert entry.calls_s == [pytest.approx(1.1)]


def test_an_entry_is_called_again_at_each_moment_it_names() -> None:
    wheel, entry = TimerWheel(2.0), Entry(every_s=0.5, times=3)
    wheel.add(entry, 0.5)
    live(wheel, 10.0)
    assert entry.calls_s == [pytest.approx(0.5), pytest.approx(1.0), pytest.approx(1.5)]


def test_an_entry_that_is_over_is_not_kept() -> None:
    wheel = TimerWheel(2.0)
    wheel.add(Entry(), 0.5)
    live(wheel, 1.0)
    assert wheel._slots == {}


def test_an_entry_that_fails_takes_no_other_with_it_and_is_tried_again() -> None:
    wheel, entries = TimerWheel(2.0), [Entry(every_s=0.5), Broken(), Entry(every_s=0.5)]
    for entry in entries:
        wheel.add(entry, 0.5)
    live(wheel, 2.0)
    assert [len(entry.calls_s) for entry in entries] == [4, 1, 4]
    live(wheel, RETRY_S)
    assert len(entries[1].calls_s) == 2


def test_an_entry_may_add_others_while_it_is_called() -> None:
    wheel, later = TimerWheel(2.0), Entry()

    class Adding:
        def due(self, now_s: float) -> None:
            wheel.add(later, now_s)

    wheel.add(Adding(), 0.1)
    live(wheel, 0.5)
    assert later.calls_s == [pytest.approx(0.2)]


@given(st.lists(st.floats(0, 20), max_size=20), st.floats(0.1, 10))
def test_every_entry_is_called_once_within_a_tick_of_its_moment(moments_s: list[float], shortest_s: float) -> None:
    wheel, entries = TimerWheel(shortest_s), [Entry() for _ in moments_s]
    for entry, moment_s in zip(entries, moments_s, strict=True):
        wheel.add(entry, moment_s)
    live(wheel, 20.0 + 2 * wheel.tick_s)
    for entry, moment_s in zip(entries, moments_s, strict=True):
        assert len(entry.calls_s) == 1
        assert moment_s - 1e-6 <= entry.calls_s[0] <= moment_s + wheel.tick_s + 1e-6


def test_lived_time_follows_the_loop_without_drift() -> None:
    wheel, loop = started()
    loop.run(100.05)
    assert wheel.now_s == pytest.approx(100.0)


def test_small_lateness_is_made_up_for() -> None:
    wheel, loop = started()
    for _ in range(10):
        loop.stall(0.19)  # nearly a tick late
        loop.fire_one()
        loop.run(0.01)
    assert wheel.now_s == pytest.approx(2.0, abs=0.11)


def test_a_turn_lives_one_tick_at_most() -> None:
    wheel, loop = started()
    loop.stall(0.15)
    loop.fire_one()
    assert wheel.now_s == pytest.approx(0.1)


def test_a_stall_is_not_lived() -> None:
    wheel, loop = started()
    loop.run(1.05)
    loop.stall(3_600.0)
    loop.run(1.05)
    assert wheel.now_s == pytest.approx(2.0, abs=0.11)


def test_after_a_stall_what_arrived_is_read_before_the_next_tick() -> None:
    wheel, loop = started()
    loop.stall(15.0)
    loop.fire_one()
    assert wheel.now_s == 0.0


def test_a_stopped_wheel_lives_no_longer() -> None:
    wheel, loop = started()
    loop.run(1.05)
    wheel.stop()
    wheel.stop()
    loop.run(10.0)
    assert wheel.now_s == pytest.approx(1.0)
