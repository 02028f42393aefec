"""Readings waiting for the next flush, by organization and unit.

Owns the buffer between ingestion and the flush tick. The invariants: a drain hands over every reading added since the
one before it exactly once and leaves no keys behind; the buffer never holds more than its limit.

Limit: `buffer_max_readings`, over all organizations. Policy: when it is passed, half of the buffer is freed, and those
with the most give: first the organizations above a fair share, in them the units above a fair share, their oldest
readings. So a flood costs its sender's live view and nobody else's; nothing is lost, because a reading is stored before
it comes here and the latest of each unit is kept apart. Freeing half at once keeps `add` at constant cost on average.
Metric: `sensorcast_buffer_skipped_readings`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from sensorcast.metrics import BUFFER_SKIPPED
from sensorcast.model import Reading

_log = structlog.get_logger(__name__)


class OrganizationReadings:
    """Buffered readings of one organization: unit id -> readings in order of arrival, and how many in all."""

    __slots__ = ("before", "count", "organization_id", "units")

    def __init__(self, organization_id: str) -> None:
        self.organization_id = organization_id
        self.units: dict[str, list[Reading]] = {}
        self.before: dict[str, Reading | None] = {}
        """The newest reading of a unit when the first one came in here: all that was flushed is no newer."""
        self.count = 0

    def add(self, reading: Reading, before: Reading | None = None) -> None:
        """Append `reading` to its unit, the newest one of which was `before`."""
        unit_id = reading.unit_id
        readings = self.units.get(unit_id)
        if readings is None:
            self.units[unit_id] = [reading]
            self.before[unit_id] = before
        else:
            readings.append(reading)
        self.count += 1

    def replace(self, reading: Reading) -> None:
        """Let `reading` stand alone for its unit, unless a newer one does."""
        kept = self.units.get(reading.unit_id)
        if kept is None:
            self.add(reading)
        elif reading.recorded_at_us >= kept[-1].recorded_at_us:
            kept[-1] = reading

    def extend(self, other: OrganizationReadings) -> None:
        """Append the readings of `other`; units that are new here come behind those that are known."""
        for unit_id, readings in other.units.items():
            self.units.setdefault(unit_id, []).extend(readings)
        self.count += other.count

    def take(self, limit: int) -> OrganizationReadings:
        """Hand over at most `limit` readings, unit by unit, in order of arrival."""
        taken = OrganizationReadings(self.organization_id)
        for unit_id, readings in self.units.items():
            if taken.count == limit:
                break
            taken.units[unit_id] = readings[: limit - taken.count]
            taken.count += len(taken.units[unit_id])
        for unit_id, readings in taken.units.items():
            left = self.units.pop(unit_id)[len(readings) :]
            if left:  # behind the others, so that next time it is their turn
                self.units[unit_id] = left
        self.count -= taken.count
        return taken

    def cut(self, unit_id: str, from_us: int) -> list[Reading]:
        """Take the readings of a unit out that were recorded at `from_us` or later, in order of arrival."""
        readings = self.units.pop(unit_id, [])
        left = [each for each in readings if each.recorded_at_us < from_us]
        if left:
            self.units[unit_id] = left
        self.count -= len(readings) - len(left)
        return [each for each in readings if each.recorded_at_us >= from_us]

    def keep(self, limit: int) -> None:
        """Keep at most `limit` readings: the newest of each unit, and where units outnumber them, the newest units."""
        share = max(1, fair_share(map(len, self.units.values()), limit))
        kept: dict[str, list[Reading]] = {}
        self.count = 0
        for unit_id, readings in reversed(self.units.items()):
            if self.count == limit:
                break
            kept[unit_id] = readings[-min(share, limit - self.count) :]
            self.count += len(kept[unit_id])
        self.units = dict(reversed(kept.items()))


class ReadingBuffer:
    """The buffer of all organizations."""

    def __init__(self, max_readings: int) -> None:
        self._max_readings = max_readings
        self._organizations: dict[str, OrganizationReadings] = {}
        self._count = 0

    def add(self, reading: Reading, before: Reading | None = None) -> None:
        """Append `reading`, the newest of its unit being `before`; beyond the limit, room is made first."""
        if self._count >= self._max_readings:
            self._free_half()
        organization = self._organizations.get(reading.organization_id) or self._organization(reading.organization_id)
        organization.add(reading, before)
        self._count += 1

    def takes(self, reading: Reading) -> bool:
        """Whether readings of its unit wait here, and none that was flushed before them is newer than `reading`."""
        organization = self._organizations.get(reading.organization_id)
        if organization is None or reading.unit_id not in organization.units:
            return False
        before = organization.before[reading.unit_id]
        return before is None or reading.recorded_at_us >= before.recorded_at_us

    def replace(self, reading: Reading) -> None:
        """Keep only the newest of the readings of its unit: `reading`, or the one that is here."""
        if self._count >= self._max_readings and not self._has(reading):
            self._free_half()
        organization = self._organization(reading.organization_id)
        count_before = organization.count
        organization.replace(reading)
        self._count += organization.count - count_before

    def _has(self, reading: Reading) -> bool:
        """Whether readings of its unit are here."""
        organization = self._organizations.get(reading.organization_id)
        return organization is not None and reading.unit_id in organization.units

    def _organization(self, organization_id: str) -> OrganizationReadings:
        organization = self._organizations.get(organization_id)
        if organization is None:
            organization = self._organizations[organization_id] = OrganizationReadings(organization_id)
        return organization

    @property
    def organizations(self) -> Collection[str]:
        """Who has readings waiting."""
        return self._organizations.keys()

    def drain(self, *, keep: Collection[str] = ()) -> dict[str, OrganizationReadings]:
        """Hand over everything, but for the organizations in `keep`, and start afresh."""
        drained, self._organizations, self._count = self._organizations, {}, 0
        for organization_id in keep:
            kept = drained.pop(organization_id, None)
            if kept is not None:
                self._organizations[organization_id] = kept
                self._count += kept.count
        return drained

    def put_back(self, drained: OrganizationReadings, unit_id: str, from_us: int) -> list[Reading]:
        """Take those readings of a unit back out of a drain that were recorded at `from_us` or later; give them."""
        back = drained.cut(unit_id, from_us)
        leaving = drained.units.get(unit_id)
        before = max(leaving, key=lambda each: each.recorded_at_us) if leaving else drained.before.get(unit_id)
        for reading in back:
            self.add(reading, before)
        return back

    def take(self, organization_id: str) -> OrganizationReadings | None:
        """Hand over everything of one organization; None when there is nothing."""
        taken = self._organizations.pop(organization_id, None)
        if taken is not None:
            self._count -= taken.count
        return taken

    def take_some(self, limit: int, *, keep: Collection[str] = ()) -> list[OrganizationReadings]:
        """Hand over at most `limit` readings, shared fairly by those not in `keep`; the rest stays in its order."""
        waiting = [one for one in self._organizations.values() if one.organization_id not in keep]
        share = max(1, fair_share((one.count for one in waiting), limit))
        taken: list[OrganizationReadings] = []
        for one in waiting:
            count = min(share, limit)
            if count == 0:
                break
            taken.append(one.take(count))
            limit -= taken[-1].count
            self._count -= taken[-1].count
            if not one.count:
                del self._organizations[one.organization_id]
        return taken

    def sizes(self, organization_id: str | None) -> tuple[int, int]:
        """How many readings and how many units are waiting, of one organization or of all for None."""
        if organization_id is None:
            return self._count, sum(len(one.units) for one in self._organizations.values())
        organization = self._organizations.get(organization_id)
        return (0, 0) if organization is None else (organization.count, len(organization.units))

    def _free_half(self) -> None:
        before = self._count
        share = fair_share((one.count for one in self._organizations.values()), self._max_readings // 2)
        for organization_id, organization in list(self._organizations.items()):
            if organization.count > share:
                organization.keep(share)
            if not organization.count:
                del self._organizations[organization_id]
        self._count = sum(one.count for one in self._organizations.values())
        skipped = before - self._count
        BUFFER_SKIPPED.inc(skipped)
        _log.warning("buffer_full", skipped_readings=skipped, setting="buffer_max_readings", limit=self._max_readings)


def fair_share(sizes: Iterable[int], budget: int) -> int:
    """The largest share for which `sum(min(size, share))` stays within `budget`: the small keep all they have."""
    ordered = sorted(sizes)
    for index, size in enumerate(ordered):
        share = budget // (len(ordered) - index)
        if size > share:
            return share
        budget -= size
    return ordered[-1] if ordered else 0
