"""What a socket follows: wishes read strictly, rooms replaced, the marks of rates in use kept in step."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.errors import InvalidRequest, QuotaExceeded
from sensorcast.hub import NO_ROOMS, Hub
from sensorcast.model import Room
from sensorcast.stream.rates import FULL_RATE, Mode, Rate, in_use_room
from sensorcast.transport.following import follow, unfollow, wanted_rate
from sensorcast.wire.frame import Bundle
from tests.stream.readings import reading

ORGANIZATION = Room.organization(reading())
U1, U2 = Room.unit(reading(), "u1"), Room.unit(reading(), "u2")
SLOW, LATEST = Rate(10, Mode.ALL), Rate(1, Mode.LATEST)


class InHub:
    """The part of a socket that enters and leaves rooms."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.rooms: frozenset[str] = NO_ROOMS

    def deliver(self, bundle: Bundle) -> None: ...

    def join(self, room: str) -> None:
        if room not in self.rooms:
            self.hub.join(self, room)

    def leave(self, room: str) -> None:
        self.hub.leave(self, room)

    def follow(self, room: Room, rate: Rate, rooms_max: int = 10) -> None:
        follow(self, room, rate, organization_room=ORGANIZATION, rooms_max=rooms_max)  # type: ignore[arg-type]

    def unfollow(self, room: Room) -> None:
        unfollow(self, room, organization_room=ORGANIZATION)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        (None, FULL_RATE),
        ("5", FULL_RATE),
        ({}, FULL_RATE),
        ({"maxRateHz": None, "mode": None}, FULL_RATE),
        ({"mode": "latest"}, LATEST),
        ({"maxRateHz": 0.1}, SLOW),
        ({"maxRateHz": 1, "mode": "all"}, FULL_RATE),
        ({"maxRateHz": 10**400}, FULL_RATE),
    ],
)
def test_a_wish_is_read(options: Any, rate: Rate) -> None:
    assert wanted_rate(options, 1.0) == rate


@pytest.mark.parametrize("value", [0, -1, True, "1", [], float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="maxRateHz"):
        wanted_rate({"maxRateHz": value}, 1.0)


@pytest.mark.parametrize("value", ["newest", 1, [], {}])
def test_an_unknown_mode_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="mode"):
        wanted_rate({"mode": value}, 1.0)


def test_the_last_wish_replaces_the_one_before() -> None:
    socket = InHub()
    socket.follow(U1, FULL_RATE)
    assert socket.rooms == {U1}
    socket.follow(U1, SLOW)
    assert socket.rooms == {SLOW.room(U1), in_use_room(SLOW, ORGANIZATION)}
    socket.follow(U1, LATEST)
    assert socket.rooms == {LATEST.room(U1), in_use_room(LATEST, ORGANIZATION)}
    socket.follow(U1, FULL_RATE)
    assert socket.rooms == {U1}


def test_a_rate_is_in_use_until_the_last_thing_followed_at_it_is_left() -> None:
    socket = InHub()
    socket.follow(U1, SLOW)
    socket.follow(U2, SLOW)
    socket.unfollow(U1)
    assert socket.rooms == {SLOW.room(U2), in_use_room(SLOW, ORGANIZATION)}
    socket.unfollow(U2)
    socket.unfollow(U2)
    assert socket.rooms == NO_ROOMS


def test_a_wish_beyond_the_limit_changes_nothing() -> None:
    socket = InHub()
    socket.follow(U1, SLOW)
    before = socket.rooms
    with pytest.raises(QuotaExceeded, match="rooms_per_socket"):
        socket.follow(U2, LATEST, rooms_max=3)
    assert socket.rooms == before
    socket.follow(U1, LATEST, rooms_max=2)
    assert socket.rooms == {LATEST.room(U1), in_use_room(LATEST, ORGANIZATION)}
