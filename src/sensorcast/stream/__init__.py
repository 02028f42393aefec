"""The live side of readings: the newest of each unit, and those waiting for the next flush.

Reading order: `buffer` (what the next flush sends), `rates` (what waits for subscribers that want less), `latest` (what
`get:latest` answers), `sharing` (what waits for other nodes), `outgoing` (their JSON).
Called by the pipeline (add_reading, with readings that are stored), the broadcaster (drain) and the doors (latest).
The invariant: a reading is in one flush and no more, late or not, unless the buffer was full; late data never moves the
latest reading back, and never delays what is on time: it waits in a buffer of its own and leaves in small portions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from sensorcast.model import Reading
from sensorcast.stream.buffer import OrganizationReadings, ReadingBuffer
from sensorcast.stream.latest import LatestReadings
from sensorcast.stream.rates import RatedReadings
from sensorcast.stream.sharing import SharedUnits

_organization_id: Final = attrgetter("organization_id")
DEFAULT_CACHE_UNITS: Final = 200_000
DEFAULT_BUFFER_READINGS: Final = 100_000
DEFAULT_LATE_PER_FLUSH: Final = 2_000


class StreamStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream holds, of one organization or of all."""

    buffered_readings: int
    buffer_keys: int
    """Units with at least one buffered reading; one with late readings as well counts twice."""
    cached_units: int


class SensorStream:
    """Latest readings and flush buffer of all organizations of this node. Not thread-safe: use it on the event loop."""

    def __init__(
        self,
        cache_units: int = DEFAULT_CACHE_UNITS,
        *,
        buffer_max_readings: int = DEFAULT_BUFFER_READINGS,
        late_per_flush: int = DEFAULT_LATE_PER_FLUSH,
        hold_back_s: float = 0.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hold_back_s`: how long readings of a unit that several nodes take in wait for those of the others."""
        self._latest = LatestReadings(cache_units)
        self._buffer = ReadingBuffer(buffer_max_readings)
        self._late = ReadingBuffer(buffer_max_readings)
        self._late_per_flush = late_per_flush
        self._shared = SharedUnits(hold_back_s, cache_units, now_s)
        self.rated = RatedReadings(buffer_max_readings)
        """Readings that wait for subscribers with a rate of their own."""

    def add_reading(self, organization_id: str, reading: Reading, source: str | None = None) -> None:
        """Take a stored reading into the next flush and, when it is the newest of its unit, as the latest one.

        `source` is the node that took it in, None for this one.
        Raises `ValueError` when the reading belongs to another organization: a fault in the program.
        """
        self.add_readings(organization_id, (reading,), source)

    def add_readings(self, organization_id: str, readings: Sequence[Reading], source: str | None = None) -> None:
        """As `add_reading`, for several, the oldest first."""
        if not {organization_id}.issuperset(map(_organization_id, readings)):
            raise ValueError("the reading belongs to another organization")
        add = self._buffer.add
        notes_sources = bool(self._shared.units) or source is not None
        newest_before = self._latest.offer_all(organization_id, readings)
        for reading, before in zip(readings, newest_before, strict=True):
            is_newest = before is None or reading.recorded_at_us >= before.recorded_at_us
            if is_newest:
                add(reading, before)
            is_late = not is_newest and self._add_older(reading)
            if notes_sources:
                self._shared.note(reading, source, is_known=before is not None, is_late=is_late)

    def _add_older(self, reading: Reading) -> bool:
        """Take a reading that is not the newest of its unit; tell whether it is late."""
        if self._buffer.takes(reading):  # out of order, but in time: the batch will have it in its place
            self._buffer.add(reading)
            return False
        self._late.add(msgspec.structs.replace(reading, late=True))
        return True

    def warm(self, readings: Iterable[Reading]) -> None:
        """Take readings as latest ones without flushing them: the newest of each unit from the store, at the start."""
        for reading in readings:
            self._latest.offer(reading)

    def get_latest_reading(self, organization_id: str, unit_id: str) -> Reading | None:
        """The newest reading of a unit, or None for one that is unknown, not of this organization, or not kept."""
        return self._latest.get(organization_id, unit_id)

    def latest_of(self, organization_id: str) -> list[Reading]:
        """The newest readings of all units of one organization; costs only those."""
        return self._latest.of(organization_id)

    def drain(self, *, keep: Collection[str] = (), last: bool = False) -> dict[str, OrganizationReadings]:
        """Hand over what is buffered, by organization, and start afresh with no keys; those in `keep` stay.

        The newest readings of units that several nodes take in stay, too, for the next drain. Late readings come behind
        the units that are on time, and at most `late_per_flush` of them, so that a backfill of any size delays nobody;
        the rest waits for the next drains. The `last` drain leaves nothing.
        """
        drained = self._buffer.drain(keep=keep)
        if self._shared.units and not last:
            self._shared.hold_back(drained, self._buffer)
        late_max = self._late.sizes(None)[0] if last else self._late_per_flush
        for late in self._late.take_some(late_max, keep=keep):
            drained.setdefault(late.organization_id, OrganizationReadings(late.organization_id)).extend(late)
        return drained

    def stats(self, organization_id: str | None = None) -> StreamStats:
        """Sizes of one organization, or of all for None."""
        readings, keys = self._buffer.sizes(organization_id)
        late_readings, late_keys = self._late.sizes(organization_id)
        return StreamStats(
            buffered_readings=readings + late_readings,
            buffer_keys=keys + late_keys,
            cached_units=self._latest.unit_count(organization_id),
        )


__all__ = ["OrganizationReadings", "SensorStream", "StreamStats"]
