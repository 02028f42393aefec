"""Units that several nodes take in: what is newest of them waits for what other nodes are about to forward.

Owns who took in what lately, and what stays in the buffer at a drain. Called by the stream. The invariants: what leaves
of a unit is never newer than anything of it that stays; a reading stays at one drain at most; a unit that only one node
takes in never waits, and one that no other node ever took in costs nothing.

A unit is shared while two nodes took it in within `SHARED_S`. What came in of it during the last `hold_back_s` before a
drain stays, and with it everything as new as the oldest of those: an older reading that another node took in at about
the same time has not been heard yet.

Limit: `max_units` units that other nodes took in. Policy: the one longest not heard leaves; until it is heard again its
readings do not wait, and some of them may be late. Metric: `sensorcast_shared_evicted_units`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from sensorcast.metrics import HELD_READINGS, SHARED_EVICTED
from sensorcast.model import Reading
from sensorcast.stream.buffer import OrganizationReadings, ReadingBuffer

SHARED_S: Final = 60.0
"""Longer than most devices take between two readings, short enough to forget a unit that has moved to one node."""
MARKS_PER_HOLD_BACK: Final = 8
"""Times of arrival are kept this coarsely, so that a flood of readings takes no more memory than one."""


class _Unit:
    """What is known of one unit."""

    __slots__ = ("held_to_us", "marks", "shared_until_s", "source")

    def __init__(self, source: str | None, shared_until_s: float) -> None:
        self.source = source
        """The node that took in the last reading; None for this one."""
        self.shared_until_s = shared_until_s
        self.held_to_us = 0
        """The newest reading that stayed at the last drain, 0 when none did."""
        self.marks: deque[tuple[float, int]] = deque(maxlen=MARKS_PER_HOLD_BACK + 2)
        """(since when, the oldest that came in from then to the next mark), of what may still have to stay."""

    def mark(self, recorded_at_us: int, now_s: float, grain_s: float) -> None:
        """Note that a reading came in now."""
        if recorded_at_us <= self.held_to_us:
            return  # leaves with those that stayed once
        if self.marks and now_s < self.marks[-1][0] + grain_s:
            since_s, oldest_us = self.marks[-1]
            self.marks[-1] = since_s, min(oldest_us, recorded_at_us)
        else:
            self.marks.append((now_s, recorded_at_us))


class SharedUnits:
    """(organization, unit) -> who took it in, bounded. Time is in seconds, of any clock that only goes forward."""

    def __init__(self, hold_back_s: float, max_units: int, now_s: Callable[[], float]) -> None:
        self._hold_back_s = hold_back_s
        self._grain_s = hold_back_s / MARKS_PER_HOLD_BACK
        self._max_units = max_units
        self._now_s = now_s
        self.units: OrderedDict[tuple[str, str], _Unit] = OrderedDict()
        """Units that other nodes took in; while there are none, nothing has to be noted and nothing waits."""
        self._waiting: dict[tuple[str, str], _Unit] = {}
        """Those with something in the buffer that may have to stay."""

    def note(self, reading: Reading, source: str | None, *, is_known: bool, is_late: bool) -> None:
        """Note who took in a reading, None for this node.

        `is_known`: whether there was one of its unit before, which this node may have taken in. `is_late`: whether it
        goes another way than the buffer.
        """
        key, now_s = reading.unit_key, self._now_s()
        unit = self.units.get(key)
        if unit is None:
            if source is None:
                return
            unit = self._add(key, _Unit(source, now_s + SHARED_S if is_known else 0.0))
        elif unit.source != source:
            unit.source, unit.shared_until_s = source, now_s + SHARED_S
        elif source is None and unit.shared_until_s <= now_s:
            self._forget(key)  # nobody else takes it in any more
            return
        if source is not None:
            self.units.move_to_end(key)
        if now_s < unit.shared_until_s and not is_late:
            unit.mark(reading.recorded_at_us, now_s, self._grain_s)
            self._waiting[key] = unit

    def hold_back(self, drained: dict[str, OrganizationReadings], buffer: ReadingBuffer) -> None:
        """Put what has to stay back into the buffer; organizations with nothing left leave the drain."""
        recent_s = self._now_s() - self._hold_back_s - self._grain_s
        for key in [each for each in self._waiting if each[0] in drained]:
            unit = self._waiting.pop(key)
            from_us = min((oldest_us for since_s, oldest_us in unit.marks if since_s > recent_s), default=None)
            unit.marks.clear()
            held = [] if from_us is None else buffer.put_back(drained[key[0]], key[1], from_us)
            unit.held_to_us = max((each.recorded_at_us for each in held), default=0)
            if held:
                HELD_READINGS.inc(len(held))
                self._waiting[key] = unit
        for organization_id in [each for each, readings in drained.items() if not readings.count]:
            del drained[organization_id]

    def _add(self, key: tuple[str, str], unit: _Unit) -> _Unit:
        self.units[key] = unit
        if len(self.units) > self._max_units:
            self._forget(next(iter(self.units)))
            SHARED_EVICTED.inc()
        return unit

    def _forget(self, key: tuple[str, str]) -> None:
        del self.units[key]
        self._waiting.pop(key, None)
