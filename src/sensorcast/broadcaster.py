"""The flush tick: once an interval, everything buffered goes out, one batch per unit.

Owns the timer, the numbering of batches and the fair order of a flush. Called by the pipeline (add_reading), the doors
(get_latest_reading, get_stats) and the app (start, stop). The invariant: whatever one unit, room or flush does, the
others and the timer go on; two flushes never overlap; `seq` only grows, also across restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Final

import msgspec
import structlog

from sensorcast.hub import Batch, Hub
from sensorcast.metrics import (
    BUFFERED_READINGS,
    CACHED_UNITS,
    FLUSH_BATCHES,
    FLUSH_ERRORS,
    FLUSH_READINGS,
    FLUSH_SECONDS,
)
from sensorcast.model import Reading, Room
from sensorcast.stream import OrganizationReadings, SensorStream
from sensorcast.stream.outgoing import batch_payloads
from sensorcast.wire.frame import Conflation
from sensorcast.wire.socketio import event_frame

BATCH_EVENT: Final = "sensor:readings:batch"
DEFAULT_BATCH_MAX_BYTES: Final = 256 * 1024
SLICE_S: Final = 0.005
"""Time a flush may take before the loop gets a turn: well below what a person or a heartbeat would notice."""

_log = structlog.get_logger(__name__)


def _epoch_us() -> int:
    return time.time_ns() // 1_000


class FlushStats(msgspec.Struct, frozen=True, kw_only=True):
    """What one flush carried, of one organization or of all."""

    readings: int = 0
    units: int = 0
    duration_ms: float = 0.0


class ServiceStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the stream holds now, and what the last flush that had anything to send carried."""

    buffered_readings: int
    buffer_keys: int
    cached_units: int
    flush: FlushStats


class SensorStreamService:
    """Buffers readings and sends them to rooms. Embeddable: needs a hub and a running event loop, nothing else."""

    def __init__(
        self,
        hub: Hub,
        flush_interval_s: float = 1.0,
        *,
        stream: SensorStream | None = None,
        batch_max_bytes: int = DEFAULT_BATCH_MAX_BYTES,
        now_us: Callable[[], int] = _epoch_us,
    ) -> None:
        self._hub = hub
        self._interval_s = flush_interval_s
        self.stream = SensorStream() if stream is None else stream
        self._batch_max_bytes = batch_max_bytes
        # Microseconds outrun batches, so a later start is above every number given before it; below 2**53 until 2255.
        self._next_seq = count(now_us()).__next__
        self._flushing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._last_flush = FlushStats()
        self._last_flush_of: dict[str, FlushStats] = {}

    def add_reading(self, organization_id: str, reading: Reading) -> None:
        """Take a stored reading into the next flush. Raises `ValueError` when it belongs to another organization."""
        self.stream.add_reading(organization_id, reading)

    def get_latest_reading(self, organization_id: str, unit_id: str) -> Reading | None:
        """The newest reading of a unit, or None for one that is unknown or not of this organization."""
        return self.stream.get_latest_reading(organization_id, unit_id)

    def get_stats(self, organization_id: str | None = None) -> ServiceStats:
        """Sizes and last flush of one organization, or of all for None."""
        held = self.stream.stats(organization_id)
        last = self._last_flush if organization_id is None else self._last_flush_of.get(organization_id, FlushStats())
        return ServiceStats(
            buffered_readings=held.buffered_readings,
            buffer_keys=held.buffer_keys,
            cached_units=held.cached_units,
            flush=last,
        )

    def start(self) -> None:
        """Start the timer on the running event loop; nothing happens when it runs already. End it with `stop`."""
        if self._timer is None or self._timer.done():
            BUFFERED_READINGS.set_function(lambda: self.stream.stats().buffered_readings)
            CACHED_UNITS.set_function(lambda: self.stream.stats().cached_units)
            self._stopping = asyncio.Event()
            self._timer = asyncio.get_running_loop().create_task(self._tick(self._stopping), name="sensorcast-flush")

    async def stop(self) -> None:
        """Stop the timer, after one last flush. Nothing happens when it does not run."""
        if self._timer is not None:
            self._stopping.set()
            await asyncio.wait((self._timer,))

    async def _tick(self, stopping: asyncio.Event) -> None:
        """Flush at whole intervals after the start, and once more when stopped."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while not stopping.is_set():
            due_s = _next_due_s(due_s, loop.time(), self._interval_s)
            with contextlib.suppress(TimeoutError):  # the usual end of the wait: the interval is over
                async with asyncio.timeout_at(due_s):
                    await stopping.wait()
            await self._flush_guarded()

    async def _flush_guarded(self) -> None:
        try:
            await self.flush()
        except Exception:
            FLUSH_ERRORS.inc()
            _log.exception("flush_failed")

    async def flush(self) -> FlushStats:
        """Send everything buffered now. May be called at any time; a call during a flush waits for its end."""
        async with self._flushing:
            drained = self.stream.drain()
            if not drained:
                return FlushStats()
            started_s = time.perf_counter()
            pace = _Pace()
            stats_of: dict[str, FlushStats] = {}
            # Small organizations first: they cost the large ones little, and never wait for them.
            for organization_id in sorted(drained, key=lambda each: drained[each].count):
                stats_of[organization_id] = await self._flush_organization(drained[organization_id], pace)
            return self._record(stats_of, time.perf_counter() - started_s)

    def _record(self, stats_of: Mapping[str, FlushStats], duration_s: float) -> FlushStats:
        total = FlushStats(
            readings=sum(each.readings for each in stats_of.values()),
            units=sum(each.units for each in stats_of.values()),
            duration_ms=_milliseconds(duration_s),
        )
        self._last_flush, self._last_flush_of = total, dict(stats_of)
        FLUSH_SECONDS.observe(duration_s)
        FLUSH_READINGS.inc(total.readings)
        _log.info(
            "flush",
            readings=total.readings,
            units=total.units,
            organizations=len(stats_of),
            duration_ms=total.duration_ms,
        )
        return total

    async def _flush_organization(self, drained: OrganizationReadings, pace: _Pace) -> FlushStats:
        """Encode and publish the batches of one organization, in slices short in time and in bytes."""
        started_s = time.perf_counter()
        batches: list[Batch] = []
        size_bytes = 0
        for batch in self._batches(drained):
            batches.append(batch)
            size_bytes += len(batch.frame.text)
            if size_bytes >= self._batch_max_bytes or pace.is_used_up():
                self._publish(drained, batches)
                batches, size_bytes = [], 0
                await pace.rest()
        self._publish(drained, batches)
        if pace.is_used_up():
            await pace.rest()
        duration_ms = _milliseconds(time.perf_counter() - started_s)
        return FlushStats(readings=drained.count, units=len(drained.units), duration_ms=duration_ms)

    def _batches(self, drained: OrganizationReadings) -> Iterator[Batch]:
        """Encode each unit's readings once; a unit that cannot be encoded is counted and left out."""
        for unit_id, readings in drained.units.items():
            room = Room.unit(drained, unit_id)
            try:
                conflation = Conflation(room, max(reading.recorded_at_us for reading in readings))
                for payload in batch_payloads(
                    unit_id, readings, max_bytes=self._batch_max_bytes, next_seq=self._next_seq
                ):
                    yield Batch((room,), event_frame(BATCH_EVENT, payload, conflation=conflation))
            except Exception as exc:
                FLUSH_ERRORS.inc()
                _log.error("unit_not_sent", room=room, error=repr(exc))

    def _publish(self, drained: OrganizationReadings, batches: list[Batch]) -> None:
        if not batches:
            return
        room = Room.organization(drained)
        try:
            self._hub.publish(room, batches)
            FLUSH_BATCHES.inc(len(batches))
        except Exception as exc:
            FLUSH_ERRORS.inc()
            _log.error("room_not_sent", room=room, error=repr(exc))


class _Pace:
    """Whether a flush has used up its slice of the loop."""

    def __init__(self) -> None:
        self._slice_ends_s = time.perf_counter() + SLICE_S

    def is_used_up(self) -> bool:
        return time.perf_counter() >= self._slice_ends_s

    async def rest(self) -> None:
        """Let everything else that is ready run, then begin a new slice."""
        await asyncio.sleep(0)
        self._slice_ends_s = time.perf_counter() + SLICE_S


def _next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """The first whole interval after `due_s` that is still to come: missed ticks are skipped, never made up for."""
    return due_s + interval_s * max(1, math.floor((now_s - due_s) / interval_s) + 1)


def _milliseconds(duration_s: float) -> float:
    return round(duration_s * 1_000, 3)
