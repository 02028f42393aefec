"""Units and devices that sent their first reading, registered in the background.

Owns the one task that writes them. The invariant: nobody waits for it, and whatever goes wrong costs nothing but time:
what was not registered is expected again by a later reading, at the latest after `registry_cache_s`.

Limit: `_WAITING_MAX` entries. Policy: beyond it, when an organization has all it may, or when the store has trouble,
they are dropped. Metric: `sensorcast_registry_skipped{reason}`; an organization that is full is named in the log once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Final, NamedTuple

import structlog

from sensorcast.errors import SensorcastError
from sensorcast.metrics import REGISTRY_ADDED, REGISTRY_SKIPPED
from sensorcast.model import Device, Unit
from sensorcast.registry.known import Kind, Known
from sensorcast.store import RegistryStore
from sensorcast.store.missing import missing_in
from sensorcast.store.registry_rows import KINDS, SETTINGS

_WAITING_MAX: Final = 50_000
"""Entries that wait to be registered, about 20 MiB: a large fleet on its first day, or after a restart."""

_STEP_ENTRIES: Final = 500
"""Entries of one transaction: some 10 ms, in which the writer does nothing else."""

_NAMED_MAX: Final = 10_000
"""Organizations remembered as named in the log; beyond it they may be named again."""

_log = structlog.get_logger(__name__)


class _Key(NamedTuple):
    kind: Kind
    organization_id: str
    entry_id: str


class _Newcomer(NamedTuple):
    entry: Unit | Device
    known: Known


class Newcomers:
    """Start with `start`, hand in entries with `add`, end with `stop`."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._waiting: dict[_Key, _Newcomer] = {}
        self._named: set[tuple[Kind, str]] = set()
        self._arrived = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to register. Needs an open store."""
        self._task = asyncio.create_task(self._work(), name="sensorcast-registry-newcomers")

    async def stop(self) -> None:
        """Register what waits, then end."""
        task, self._task = self._task, None
        if task is not None:
            self._stopping = True
            self._arrived.set()
            await asyncio.wait((task,))

    def add(self, entry: Unit | Device, known: Known) -> None:
        """Register an entry of an organization soon, and take it for registered until it turns out not to be."""
        known.expect(entry)
        if type(entry) in known.full:
            REGISTRY_SKIPPED.labels("full").inc()
        elif len(self._waiting) >= _WAITING_MAX:
            REGISTRY_SKIPPED.labels("queue").inc()
        else:
            self._waiting[_key(entry)] = _Newcomer(entry, known)
            self._arrived.set()

    async def _work(self) -> None:
        while not (self._stopping and not self._waiting):
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._step()

    async def _step(self) -> None:
        """Register the next few; after trouble of the store all that wait are dropped."""
        taken = {key: self._waiting.pop(key) for key in list(islice(self._waiting, _STEP_ENTRIES))}
        try:
            await self._register({key: each for key, each in taken.items() if key.kind not in each.known.full})
        except SensorcastError as exc:
            REGISTRY_SKIPPED.labels("store").inc(len(taken) + len(self._waiting))
            _log.warning("registration_put_off", reason=exc.message, entries=len(taken) + len(self._waiting))
            self._waiting.clear()
        except Exception:  # a fault of ours must not end the task
            _log.exception("registration_fault")
        else:
            REGISTRY_SKIPPED.labels("full").inc(sum(key.kind in each.known.full for key, each in taken.items()))

    async def _register(self, newcomers: Mapping[_Key, _Newcomer]) -> None:
        # Looked for first: after a restart most of them are there, and the writer has other things to do.
        missing = await self._missing(newcomers)
        added = await self._store.add_missing([each.entry for each in missing.values()]) if missing else 0
        REGISTRY_ADDED.inc(added)
        # Fewer were added when there was no room, or when another node was faster.
        left_out = await self._missing(missing) if added < len(missing) else {}
        for key, each in newcomers.items():
            if key in left_out:
                each.known.full.add(key.kind)
                self._name(key.kind, key.organization_id)
            else:
                each.known.confirm(each.entry)

    async def _missing(self, newcomers: Mapping[_Key, _Newcomer]) -> dict[_Key, _Newcomer]:
        """Give those that the registry does not have."""
        missing = await missing_in(self._store, [each.entry for each in newcomers.values()])
        return {key: newcomers[key] for key in map(_key, missing)}

    def _name(self, kind: Kind, organization_id: str) -> None:
        """Say once that an organization has all it may."""
        if (kind, organization_id) not in self._named:
            if len(self._named) >= _NAMED_MAX:
                self._named.clear()
            self._named.add((kind, organization_id))
            _log.warning("registry_full", organization=organization_id, setting=SETTINGS[KINDS[kind]])


def _key(entry: Unit | Device) -> _Key:
    return _Key(type(entry), entry.organization_id, entry.entry_id)
