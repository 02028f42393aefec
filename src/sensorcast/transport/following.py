"""What a socket follows, and at what rate: the rooms behind `subscribe:...` and `auth`.

Owns how a wish becomes rooms. The invariant: a socket follows one thing at one rate, the last it asked for; it is in
the room that tells the broadcaster that a rate is in use exactly while it follows something at that rate; and a wish
that breaks `rooms_per_socket` changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

from sensorcast.errors import InvalidRequest, QuotaExceeded
from sensorcast.model import Room
from sensorcast.stream.rates import FULL_RATE, IN_USE, RATES, Mode, Rate, in_use_room, rate_for
from sensorcast.transport.socket import Socket

_ANY_RATE_HZ: Final = 1e6
"""Above every rate there is."""


def wanted_rate(options: Any, flush_interval_s: float) -> Rate:
    """Read `{maxRateHz?, mode?}`; anything but an object is no wish. Raises `InvalidRequest` for other values."""
    if not isinstance(options, dict):
        return FULL_RATE
    max_rate_hz, mode = options.get("maxRateHz"), options.get("mode")
    if max_rate_hz is None and mode is None:
        return FULL_RATE
    if max_rate_hz is not None and not _is_positive(max_rate_hz):
        raise InvalidRequest("maxRateHz must be a number above 0: batches of a unit a second, at most")
    if mode not in (None, *Mode):
        raise InvalidRequest('mode must be "all" or "latest"')
    bound_hz = None if max_rate_hz is None else float(min(max_rate_hz, _ANY_RATE_HZ))
    return rate_for(bound_hz, Mode(mode or Mode.ALL), flush_interval_s)


def _is_positive(value: Any) -> bool:
    # Compared, never converted: an integer of JSON may be larger than any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def follow(socket: Socket, room: Room, rate: Rate, *, organization_room: Room, rooms_max: int) -> None:
    """Follow what `room` is about at `rate`, instead of any other rate. Raises `QuotaExceeded` beyond `rooms_max`."""
    if rate == FULL_RATE and not socket.rooms:
        # Nearly every socket does just this, once, when it connects.
        socket.join(room)
        return
    wanted = {rate.room(room)} if rate == FULL_RATE else {rate.room(room), in_use_room(rate, organization_room)}
    after = _without(socket.rooms, room, organization_room, kept=wanted)
    if len(after) > rooms_max:
        raise QuotaExceeded(f"a socket may be in {rooms_max} rooms (setting rooms_per_socket)")
    _move(socket, after)


def unfollow(socket: Socket, room: Room, *, organization_room: Room) -> None:
    """Follow it no longer, at whatever rate; nothing happens when it is not followed."""
    _move(socket, _without(socket.rooms, room, organization_room))


def _without(
    rooms: frozenset[str], room: Room, organization_room: Room, *, kept: Collection[str] = ()
) -> frozenset[str]:
    """The rooms but for `room` at any rate, and with `kept`; marks of rates at which nothing is followed left out."""
    if not any(name.startswith(IN_USE) for name in rooms):
        # Nearly every socket: it follows everything at the full rate.
        return (rooms - {room}).union(kept)
    marks = {rate: in_use_room(rate, organization_room) for rate in RATES}
    in_use = [rate for rate, mark in marks.items() if mark in rooms]
    after = (rooms - {room, *(rate.room(room) for rate in in_use)}).union(kept)
    unused = {marks[rate] for rate in in_use if not any(name.startswith(rate.prefix) for name in after)}
    return after - unused


def _move(socket: Socket, after: frozenset[str]) -> None:
    before = socket.rooms
    for room in before - after:
        socket.leave(room)
    for room in after - before:
        socket.join(room)
