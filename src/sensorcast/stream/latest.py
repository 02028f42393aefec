"""The newest reading of every unit, in memory.

Owns the cache behind `get:latest`. The invariant: of all readings offered for a unit that stays cached, the one with
the greatest (recorded_at, device) is kept, so every order of arrival, and every node, ends with the same one; late data
never moves it back. Between devices of a unit that measured in the same microsecond the greater id wins: arbitrary,
but the order of the store, so a restart changes nothing.

Limit: `latest_cache_units`, over all organizations. Policy: the unit longest neither written nor asked for leaves;
listing an organization does not count as asking. Metric: `sensorcast_latest_evicted_units`. A unit that has left starts
anew with its next reading; its history is in the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from sensorcast.metrics import LATEST_EVICTED
from sensorcast.model import Reading


class LatestReadings:
    """(organization, unit) -> newest reading, bounded."""

    def __init__(self, max_units: int) -> None:
        self._max_units = max_units
        self._organizations: dict[str, dict[str, Reading]] = {}
        self._by_use: OrderedDict[tuple[str, str], None] = OrderedDict()

    def offer(self, reading: Reading) -> Reading | None:
        """Keep `reading` when it is the newest of its unit; give the one that was kept before.

        Its unit counts as used either way.
        """
        return self.offer_all(reading.organization_id, (reading,))[0]

    def offer_all(self, organization_id: str, readings: Sequence[Reading]) -> list[Reading | None]:
        """As `offer`, for readings of one organization, one after the other."""
        if not readings:
            return []
        units = self._organizations.setdefault(organization_id, {})
        kept_before: list[Reading | None] = []
        for reading in readings:
            unit_id = reading.unit_id
            kept = units.get(unit_id)
            kept_before.append(kept)
            if kept is None:
                units[unit_id] = reading
                self._add(organization_id, unit_id)
            else:
                self._by_use.move_to_end((organization_id, unit_id))
                if _is_newer(reading, kept):
                    units[unit_id] = reading
        return kept_before

    def _add(self, organization_id: str, unit_id: str) -> None:
        self._by_use[organization_id, unit_id] = None
        if len(self._by_use) > self._max_units:
            self._evict()

    def get(self, organization_id: str, unit_id: str) -> Reading | None:
        """The newest reading of a unit, None when there is none."""
        units = self._organizations.get(organization_id)
        reading = None if units is None else units.get(unit_id)
        if reading is not None:
            self._by_use.move_to_end((organization_id, unit_id))
        return reading

    def of(self, organization_id: str) -> list[Reading]:
        """The newest readings of all units of one organization, in the order in which the units were first seen."""
        return list(self._organizations.get(organization_id, {}).values())

    def unit_count(self, organization_id: str | None) -> int:
        """How many units are kept, of one organization or of all for None."""
        return len(self._by_use) if organization_id is None else len(self._organizations.get(organization_id, {}))

    def _evict(self) -> None:
        (organization_id, unit_id), _ = self._by_use.popitem(last=False)
        units = self._organizations[organization_id]
        del units[unit_id]
        if not units:
            del self._organizations[organization_id]
        LATEST_EVICTED.inc()


def _is_newer(reading: Reading, kept: Reading) -> bool:
    ahead_us = reading.recorded_at_us - kept.recorded_at_us
    return ahead_us > 0 if ahead_us else (reading.device_id or "") > (kept.device_id or "")
