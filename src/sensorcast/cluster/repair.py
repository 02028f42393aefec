"""What no message brought is read from the store: the latest readings of an organization, page by page.

Owns the queue of organizations to read, and what is remembered of readings that a snapshot brought first. The
invariants: a snapshot never moves a unit back; a reading that it has brought is not taken a second time when its
message comes after all; however many organizations need one, the store reads for few of them at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import structlog

from sensorcast.metrics import BUS_REPAIRED_READINGS, BUS_REPAIRS
from sensorcast.model import Reading

AT_ONCE: Final = 4
"""Snapshots read at the same time: as many queries as a store runs at once without holding up others for long."""
PAGE_UNITS: Final = 500
RETRY_S: Final = 1.0
REMEMBERED_S: Final = 60.0
"""Far longer than a message may be under way."""
REMEMBERED_MAX: Final = 200_000

_log = structlog.get_logger(__name__)


class Snapshots(Protocol):
    """Where the latest readings of an organization are kept; a `store.ReadingStore` is one."""

    async def units(self, organization_id: str, *, after: str | None, limit: int) -> list[Reading]:
        """The newest reading of each unit, by unit id, starting behind `after`."""
        ...


class Sink(Protocol):
    """The live side of this node; `stream.SensorStream` is one."""

    def add_reading(self, organization_id: str, reading: Reading, source: str | None = None) -> None:
        """Take a reading into the next flush, and as the latest one when it is; `source` is the node it came from."""
        ...

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None:
        """As `add_reading`, for several that this node took in."""
        ...

    def warm(self, readings: Iterable[Reading]) -> None:
        """Take readings as latest ones, where they are, without flushing them."""
        ...

    def get_latest_reading(self, organization_id: str, unit_id: str) -> Reading | None:
        """The latest reading of a unit."""
        ...


class Brought:
    """Readings that a snapshot brought into a flush, for as long as their message may still come."""

    def __init__(self, max_readings: int = REMEMBERED_MAX) -> None:
        self._until_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._max_readings = max_readings

    def __bool__(self) -> bool:
        return bool(self._until_s)

    def __contains__(self, reading: Reading) -> bool:
        return bool(self._until_s) and (reading.organization_id, reading.id) in self._until_s

    def add(self, reading: Reading, now_s: float) -> None:
        """Remember a reading."""
        self._until_s[reading.organization_id, reading.id] = now_s + REMEMBERED_S
        if len(self._until_s) > self._max_readings:
            self._until_s.popitem(last=False)

    def expire(self, now_s: float) -> None:
        """Forget those whose time is over."""
        while self._until_s and next(iter(self._until_s.values())) <= now_s:
            self._until_s.popitem(last=False)


class Repairs:
    """Reads snapshots into a sink. `start` it within a running loop; end it with `stop`."""

    def __init__(
        self,
        snapshots: Snapshots,
        sink: Sink,
        brought: Brought,
        *,
        since_us: Callable[[str], int | None],
        done: Callable[[str], None],
    ) -> None:
        """`since_us`: from when on an organization's readings should have been heard; None: it needs no snapshot.

        `done` is called when a snapshot is whole.
        """
        self._snapshots = snapshots
        self._sink = sink
        self._brought = brought
        self._since_us = since_us
        self._done = done
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work on requests."""
        self._workers = [asyncio.create_task(self._work(), name="sensorcast-repair") for _ in range(AT_ONCE)]

    async def stop(self) -> None:
        """End, whatever is under way."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []

    def request(self, organization_id: str) -> None:
        """Read an organization anew; one that is being read is read once more afterwards."""
        if organization_id in self._running:
            self._again.add(organization_id)
        elif organization_id not in self._queued:
            self._queued.add(organization_id)
            self._queue.put_nowait(organization_id)

    async def _work(self) -> None:
        while True:
            organization_id = await self._queue.get()
            self._queued.discard(organization_id)
            self._running.add(organization_id)
            try:
                await self._read(organization_id)
                BUS_REPAIRS.labels("done").inc()
            except Exception as exc:
                BUS_REPAIRS.labels("failed").inc()
                _log.warning("repair_failed", organization=organization_id, error=repr(exc))
                self._again.add(organization_id)
                await asyncio.sleep(RETRY_S)
            self._running.discard(organization_id)
            if organization_id in self._again:
                self._again.discard(organization_id)
                self.request(organization_id)
            else:
                self._done(organization_id)

    async def _read(self, organization_id: str) -> None:
        after: str | None = None
        while (since_us := self._since_us(organization_id)) is not None:
            page = await self._snapshots.units(organization_id, after=after, limit=PAGE_UNITS)
            self._take(page, since_us)
            if len(page) < PAGE_UNITS:
                return
            after = page[-1].unit_id

    def _take(self, page: Sequence[Reading], since_us: int) -> None:
        now_s = asyncio.get_running_loop().time()
        for reading in page:
            known = self._sink.get_latest_reading(reading.organization_id, reading.unit_id)
            if known is not None and not _is_newer(reading, known):
                continue
            if reading.received_at_us < since_us:
                self._sink.warm((reading,))
            elif reading not in self._brought:
                self._brought.add(reading, now_s)
                self._sink.add_reading(reading.organization_id, reading)
                BUS_REPAIRED_READINGS.inc()


def _is_newer(reading: Reading, known: Reading) -> bool:
    """By the order of the latest readings: a tie goes to the greater device id."""
    if reading.recorded_at_us == known.recorded_at_us:
        return (reading.device_id or "") > (known.device_id or "")
    return reading.recorded_at_us > known.recorded_at_us
