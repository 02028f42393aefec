"""Rates that subscribers choose: few classes, so that equal choices share one batch and nothing is encoded per client.

Owns the classes and what waits for them. A subscriber asks for at most so many batches of a unit a second, and for all
readings in between or only the latest; its wish is rounded down to a class: a whole number of flush intervals out of
`MULTIPLES`, in one of two modes. Followers of a class are in rooms of that class, and readings wait once for each class
that somebody of their organization is in. The invariant: nobody gets more than it asked for; the full rate waits for
nothing.

Limit: each class is a buffer with the limit and the policy of `buffer`. What waits for one class is part of what waits
for the slower ones, as the same objects, so all of them together hold little more than the slowest.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import product
from typing import Final, NamedTuple

from sensorcast.model import Reading, Room
from sensorcast.stream.buffer import OrganizationReadings, ReadingBuffer

MULTIPLES: Final = (1, 2, 5, 10, 30, 60)
"""Flush intervals between two batches of a class: with the default interval, from once a second to once a minute."""


class Mode(StrEnum):
    """What a batch carries of the readings since the one before it."""

    ALL = "all"
    LATEST = "latest"


class Rate(NamedTuple):
    """One class: a batch every `multiple` flushes, with the readings that `mode` says."""

    multiple: int
    mode: Mode

    def room(self, room: Room) -> Room:
        """The room of those who follow what `room` is about at this rate; at the full rate it is `room` itself."""
        return room if self == FULL_RATE else Room(self.prefix + room)

    @property
    def prefix(self) -> str:
        """What the names of rooms of this class begin with; no other room's name does."""
        return f"{self.mode.value}{self.multiple}:"

    def rate_hz(self, flush_interval_s: float) -> float:
        """Batches of a unit a second, at most."""
        return 1 / (self.multiple * flush_interval_s)


FULL_RATE: Final = Rate(1, Mode.ALL)
RATES: Final = tuple(rate for rate in map(Rate._make, product(MULTIPLES, Mode)) if rate != FULL_RATE)
"""Every class but the full rate."""


IN_USE: Final = "some:"
"""What the name of a room that marks a rate as in use begins with."""


def in_use_room(rate: Rate, organization_room: Room) -> Room:
    """The room of all who follow anything of an organization at `rate`: while it is empty, nothing has to wait."""
    return Room(IN_USE + rate.room(organization_room))


def rate_for(max_rate_hz: float | None, mode: Mode, flush_interval_s: float) -> Rate:
    """The fastest class within `max_rate_hz` (None: no bound); below the slowest class it is the slowest."""
    if max_rate_hz is None:
        return Rate(1, mode)
    wanted_hz = max_rate_hz * (1 + 1e-9)  # 0.1 Hz is every tenth flush, whatever the last digit of a division says
    fitting = (each for each in MULTIPLES if 1 / (each * flush_interval_s) <= wanted_hz)
    return Rate(next(fitting, MULTIPLES[-1]), mode)


class RatedReadings:
    """Readings waiting for each class."""

    def __init__(self, max_readings: int) -> None:
        self._buffers = {rate: ReadingBuffer(max_readings) for rate in RATES}

    def add(self, rate: Rate, readings: Iterable[Reading]) -> None:
        """Let the readings of one flush and one unit wait for the next batch of `rate`."""
        if rate.mode is Mode.LATEST:
            on_time = [each for each in readings if not each.late]  # a late one is older than a batch before
            if on_time:
                self._buffers[rate].replace(max(on_time, key=lambda each: each.recorded_at_us))
        else:
            for reading in readings:
                self._buffers[rate].add(reading)

    def organizations(self, rate: Rate) -> Iterable[str]:
        """Who has readings waiting for `rate`."""
        return self._buffers[rate].organizations

    def take(self, rate: Rate, organization_id: str) -> OrganizationReadings | None:
        """Hand over what waits of one organization; None when nothing does."""
        return self._buffers[rate].take(organization_id)
