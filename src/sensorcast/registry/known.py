"""What is remembered of the registry, so that a reading costs a look into a dictionary and no query.

The invariant: what is remembered of an organization was read after the last change this node has learned of. A change
makes it start anew in a new `Known`, so an answer to an older question lands where nobody looks any more.

Limit: `registry_cache_entries`, units and devices of all organizations together, each organization counting as one
more. Policy: the organizations of which most is remembered are forgotten, until a quarter is free: whoever sends ever
new ids pays for it. Metric: `sensorcast_registry_cached_entries`. What was forgotten is looked up again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal

from sensorcast.metrics import REGISTRY_CACHED
from sensorcast.model import Device, Unit

Kind = type[Unit] | type[Device]

_FREED: Final = 4
"""A quarter: forgetting sorts the organizations, so it should be rare."""


class Known:
    """What is remembered of one organization."""

    __slots__ = ("_expected_devices", "_expected_units", "devices", "full", "missing", "sites", "sure_until_s")

    def __init__(self) -> None:
        self.sure_until_s = 0.0
        """Until when what was not found is taken for missing."""
        self.sites: dict[str, str | Literal[False] | None] = {}
        """Where each unit that was looked up stands; False: it is missing, and its readings are to be refused."""
        self.devices: set[str | None] = {None}
        """Devices that are registered, or are going to be; readings without one need none."""
        self.missing: set[str] = set()
        """Units that were not found."""
        self.full: set[Kind] = set()
        """Kinds of which there was no room for another."""
        self._expected_units: set[str] = set()
        self._expected_devices: set[str] = set()

    def __len__(self) -> int:
        return len(self.sites) + len(self.devices)

    def learn(self, unit_ids: Collection[str], found: Iterable[Unit], *, otherwise: Literal[False] | None) -> None:
        """Remember where units stand that were looked up; those not found are missing, and stand at `otherwise`."""
        there = {unit.unit_id: unit.site_id for unit in found}
        self.sites.update(dict.fromkeys(unit_ids, otherwise))
        self.sites.update(there)
        self.missing.update(unit_ids)
        self.missing.difference_update(there)

    def expect(self, entry: Unit | Device) -> None:
        """Take an entry for registered: it is going to be."""
        if isinstance(entry, Unit):
            self.missing.discard(entry.unit_id)
            self._expected_units.add(entry.unit_id)
        else:
            self.devices.add(entry.device_id)
            self._expected_devices.add(entry.device_id)

    def confirm(self, entry: Unit | Device) -> None:
        """Know that an expected entry is registered."""
        if isinstance(entry, Unit):
            self._expected_units.discard(entry.unit_id)
        else:
            self._expected_devices.discard(entry.device_id)

    def doubt(self) -> None:
        """Forget what was not found, and what was expected and did not come: it may be otherwise by now."""
        for unit_id in self.missing | self._expected_units:
            self.sites.pop(unit_id, None)
        self.devices -= self._expected_devices
        for doubtful in (self.missing, self._expected_units, self._expected_devices, self.full):
            doubtful.clear()


class Memory:
    """All organizations of which something is remembered. `sure_s`: how long what is missing is taken for missing."""

    def __init__(self, max_entries: int, sure_s: float) -> None:
        self._max_entries = max_entries
        self._sure_s = sure_s
        self._organizations: dict[str, Known] = {}
        self._entries = 0

    def of(self, organization_id: str, now_s: float) -> Known:
        """Give what is remembered of an organization, nothing at first; what was missing only if that is recent."""
        known = self._organizations.get(organization_id)
        if known is None:
            known = self._organizations[organization_id] = Known()
            known.sure_until_s = now_s + self._sure_s
            self.note_growth(organization_id, known, 0)
        elif now_s >= known.sure_until_s:
            known.sure_until_s = now_s + self._sure_s
            before = len(known)
            known.doubt()
            self.note_growth(organization_id, known, before)
        return known

    def forget(self, organization_id: str) -> None:
        """Look everything about an organization up again."""
        known = self._organizations.pop(organization_id, None)
        if known is not None:
            self._count(-len(known))

    def note_growth(self, organization_id: str, known: Known, before: int) -> None:
        """Count what `known` has more than `before`; forget others, or itself, when that is too much."""
        if self._organizations.get(organization_id) is known:
            self._count(len(known) - before)
            if self._entries > self._max_entries:
                self._make_room()

    def _make_room(self) -> None:
        by_size = sorted(self._organizations, key=lambda each: len(self._organizations[each]))
        while by_size and self._entries > self._max_entries - self._max_entries // _FREED:
            self.forget(by_size.pop())

    def _count(self, more: int) -> None:
        self._entries += more
        REGISTRY_CACHED.set(self._entries)
