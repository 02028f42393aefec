"""Ends of credentials: told a minute before, cut on time by the wall clock, and nothing is kept of who has gone."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.model import Identity, Role
from sensorcast.transport.membership import CHECK_S, EXPIRING_S, Deadlines, Membership
from sensorcast.transport.wheel import TimerWheel


class Socket:
    """Notes what a membership does to it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.ended = False

    def emit(self, event: str, payload: Any) -> None:
        self.told.append((event, payload))

    def disconnect(self, *, close: bool) -> None:
        self.ended = close


class World:
    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.wheel = TimerWheel(10.0)
        self.deadlines = Deadlines(self.wheel, lambda: self.now_s)

    def member(self, ends_at_s: float | None) -> tuple[Membership, Socket]:
        socket = Socket()
        identity = Identity(organization_id="acme", subject="me", role=Role.VIEWER, expires_at_s=ends_at_s)
        membership = Membership(socket, identity, ends_at_s)  # type: ignore[arg-type]
        self.deadlines.opened(membership)
        return membership, socket

    def live(self, seconds: float) -> None:
        for _ in range(round(seconds / self.wheel.tick_s)):
            self.now_s += self.wheel.tick_s
            self.wheel.advance()


def test_a_socket_is_told_a_minute_before_its_end_once() -> None:
    world = World()
    _, socket = world.member(1_200.0)
    world.live(200 - EXPIRING_S - CHECK_S - 1)
    assert socket.told == []
    world.live(CHECK_S + 1)
    assert socket.told == [("auth:expiring", {"exp": 1_200.0})]
    world.live(50)
    assert len(socket.told) == 1
    assert not socket.ended


def test_a_socket_ends_within_seconds_of_its_credential() -> None:
    world = World()
    _, socket = world.member(1_010.0)
    world.live(9.5)
    assert not socket.ended
    world.live(0.5 + CHECK_S + world.wheel.tick_s)
    assert socket.ended


def test_a_clock_that_jumps_is_followed() -> None:
    world = World()
    _, socket = world.member(100_000.0)
    world.live(5)
    world.now_s = 100_000.0
    world.live(CHECK_S + world.wheel.tick_s)
    assert socket.ended


def test_without_an_end_nothing_happens() -> None:
    world = World()
    _, socket = world.member(None)
    world.now_s = 1e12
    world.live(5)
    assert (socket.told, socket.ended, len(world.deadlines)) == ([], False, 0)


def test_a_renewal_moves_the_end_both_ways() -> None:
    for first_s, second_s in ((1_030.0, 1_300.0), (5_000.0, 1_030.0)):
        world = World()
        membership, socket = world.member(first_s)
        world.live(10)
        membership.renew(membership.identity, second_s)
        world.deadlines.arrange(membership)
        world.live(25)
        assert socket.ended is (second_s == 1_030.0)


def test_a_renewed_socket_is_told_again() -> None:
    world = World()
    membership, socket = world.member(1_030.0)
    world.live(5)
    membership.renew(membership.identity, 1_100.0)
    world.deadlines.arrange(membership)
    world.live(60)
    assert len(socket.told) == 2


@pytest.mark.parametrize("step_s", [0.0, 1.0], ids=["of the same end", "of two ends in turn"])
def test_of_renewals_little_is_kept(step_s: float) -> None:
    world = World()
    membership, socket = world.member(9_000.0)
    for number in range(2_000):
        membership.renew(membership.identity, 9_000.0 - number % 2 * step_s)
        world.deadlines.arrange(membership)
    assert len(world.deadlines) < 100
    world.now_s = 9_000.0
    world.live(2 * CHECK_S)
    assert socket.ended


def test_a_socket_that_does_not_go_stops_nobody() -> None:
    world = World()
    membership, _ = world.member(1_001.0)
    _, other = world.member(1_002.0)
    membership.socket.disconnect = lambda *, close: None  # type: ignore[union-attr, method-assign]
    world.live(5)
    assert other.ended


def test_of_sockets_that_went_little_is_kept() -> None:
    world = World()
    stays, _ = world.member(9_000.0)
    for _ in range(2_000):
        membership, _ = world.member(9_000.0)
        world.deadlines.closed(membership)
        assert membership.socket is None
    assert len(world.deadlines) < 100
    assert stays.due_at_s == 9_000.0 - EXPIRING_S - CHECK_S
