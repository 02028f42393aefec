"""The two steps of a reading's path that know the registry: before it is stored, and after.

Owns when the store is asked. The invariant: a change of the registry, on whatever node, acts here within
`registry_cache_s`: twice in that time one query tells which organizations have changed. While the store does not
answer it, what is known goes on being used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

import structlog
from msgspec import structs

from sensorcast.errors import InvalidReading, SensorcastError
from sensorcast.model import Device, Reading, Unit
from sensorcast.registry.known import Known, Memory
from sensorcast.registry.newcomers import Newcomers
from sensorcast.settings import Settings
from sensorcast.store import RegistryStore

Items = Sequence[Reading | InvalidReading]

_UNKNOWN_UNIT: Final = InvalidReading(
    "unknown_unit", "unitId names no unit of the registry, and auto_register is off: register the unit first"
)
_LOOK_UPS: Final = 32
"""At the same time. The others wait, as their requests would for the store: after a restart everybody asks at once."""

_NOWHERE: Final = frozenset({None})
_unit_id: Final = attrgetter("unit_id")
_device_id: Final = attrgetter("device_id")
_log = structlog.get_logger(__name__)


class Registry:
    """What the pipeline knows of units; with an open store between `start` and `stop`. `clock_s` is monotonic."""

    def __init__(self, store: RegistryStore, settings: Settings, clock_s: Callable[[], float]) -> None:
        self._store = store
        self._clock_s = clock_s
        self._auto_register = settings.auto_register
        self._memory = Memory(settings.registry_cache_entries, settings.registry_cache_s)
        self._newcomers = Newcomers(store)
        self._look_ups = asyncio.Semaphore(_LOOK_UPS)
        self._pause_s = settings.registry_cache_s / 2
        self._change_no = 0
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow changes, and to register in the background."""
        self._newcomers.start()
        self._watch = asyncio.create_task(self._follow(), name="sensorcast-registry-watch")

    async def stop(self) -> None:
        """Register what waits to be, then end."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait((watch,))
        await self._newcomers.stop()

    def forget(self, organization_id: str) -> None:
        """Ask the store anew about an organization; call it after a change, so that it acts on this node at once."""
        self._memory.forget(organization_id)

    async def prepare(self, organization_id: str, items: Items) -> Items:
        """Give the items with the sites of their units, where a reading names none.

        Without auto-registration a reading of an unknown unit becomes an `InvalidReading`. Raises `Unavailable` when
        units not seen lately cannot be looked up.
        """
        prepared = self.prepare_known(organization_id, items)
        if prepared is not None:
            return prepared
        known = self._memory.of(organization_id, self._clock_s())
        await self._look_up(organization_id, known, items)
        return [_placed(item, known) if isinstance(item, Reading) else item for item in items]

    def prepare_known(self, organization_id: str, items: Items) -> Items | None:
        """As `prepare`, at once: None when a unit is to be looked up, or an item is no reading."""
        known = self._memory.of(organization_id, self._clock_s())
        try:
            if _NOWHERE.issuperset(map(known.sites.__getitem__, map(_unit_id, items))):
                return items
            return [_placed(item, known) for item in items]  # type: ignore[arg-type]  # an error of one ends here, too
        except (KeyError, AttributeError):
            return None

    def registered(self, organization_id: str, stored: Sequence[Reading]) -> None:
        """See to it that units and devices of readings that were stored are registered, or will be soon."""
        if not self._auto_register:
            return
        known = self._memory.of(organization_id, self._clock_s())
        if known.devices.issuperset(map(_device_id, stored)) and known.missing.isdisjoint(map(_unit_id, stored)):
            return
        before = len(known)
        for reading in stored:
            if reading.unit_id in known.missing:
                self._newcomers.add(_unit_of(reading), known)
            if reading.device_id is not None and reading.device_id not in known.devices:
                self._newcomers.add(_device_of(reading, reading.device_id), known)
        self._memory.note_growth(organization_id, known, before)

    async def look(self) -> None:
        """Take note of what has changed since the last look. Raises `Unavailable`."""
        self._change_no, changed = await self._store.registry_changes(self._change_no)
        for organization_id in changed:
            self._memory.forget(organization_id)

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except SensorcastError as exc:  # the store says itself that it has trouble
                _log.debug("registry_not_followed", reason=exc.message)
            except Exception:  # a fault of ours must not end the watch, or no change would be seen any more
                _log.exception("registry_watch_fault")
            await asyncio.sleep(self._pause_s)

    async def _look_up(self, organization_id: str, known: Known, items: Items) -> None:
        """Know every unit of the items: again, when another request has come to doubt some of them meanwhile."""
        unit_ids = {item.unit_id for item in items if isinstance(item, Reading)}
        while unseen := unit_ids - known.sites.keys():
            async with self._look_ups:
                found = await self._store.find_entries(Unit, organization_id, sorted(unseen))
            before = len(known)
            known.learn(unseen, found, otherwise=None if self._auto_register else False)
            self._memory.note_growth(organization_id, known, before)


def _placed(reading: Reading, known: Known) -> Reading | InvalidReading:
    site_id = known.sites[reading.unit_id]
    if site_id is False:
        return _UNKNOWN_UNIT
    if site_id is None or reading.site_id is not None:
        return reading
    return structs.replace(reading, site_id=site_id)


def _unit_of(reading: Reading) -> Unit:
    return Unit(organization_id=reading.organization_id, unit_id=reading.unit_id, created_at_us=reading.received_at_us)


def _device_of(reading: Reading, device_id: str) -> Device:
    return Device(
        organization_id=reading.organization_id,
        device_id=device_id,
        unit_id=reading.unit_id,
        created_at_us=reading.received_at_us,
    )
