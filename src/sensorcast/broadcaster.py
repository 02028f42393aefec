"""The flush tick: once an interval, everything buffered goes out, one batch per unit.

Owns the timer, the numbering of batches and the fair order of a flush. Called by the pipeline (add_reading), the doors
(get_latest_reading, get_stats) and the app (start, stop). The invariants: whatever one unit, room or flush does, the
others and the timer go on; `seq` only grows, also across restarts; an organization's next flush never begins before its
last one has ended.

Fairness: organizations that have something to send take turns, a slice each, and the event loop gets its turn whenever
a slice of time or of writing is used up. One that needs longer than an interval is not flushed again until it is done:
what comes in for it waits in the (bounded) buffer, and everybody else's tick stays on time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from sensorcast.hub import SLICE_COST_BYTES, Batch, Hub
from sensorcast.metrics import (
    BUFFERED_READINGS,
    CACHED_UNITS,
    FLUSH_BATCHES,
    FLUSH_ERRORS,
    FLUSH_READINGS,
    FLUSH_SECONDS,
    INGEST_TO_DELIVERY_SECONDS,
    LOOP_LAG_SECONDS,
)
from sensorcast.model import Owned, Reading, Room
from sensorcast.stream import OrganizationReadings, SensorStream
from sensorcast.stream.numbers import BatchNumbers
from sensorcast.stream.outgoing import batch_payloads
from sensorcast.stream.rates import FULL_RATE, RATES, Rate, in_use_room
from sensorcast.wire.frame import Conflation
from sensorcast.wire.socketio import event_frame

BATCH_EVENT: Final = "sensor:readings:batch"
DEFAULT_BATCH_MAX_BYTES: Final = 256 * 1024
SLICE_S: Final = 0.005
"""Time a flush may take before the loop gets a turn: well below what a person or a heartbeat would notice."""
UNITS_PER_STEP: Final = 100
"""Units whose readings are put aside for a rate between two looks at that time."""

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


class Outbound(Protocol):
    """What organizations may have sent for them; `quotas.Quotas` is one."""

    def spend_outbound(self, organization_id: str, size_bytes: int) -> None:
        """Note what was sent."""
        ...

    def in_debt(self) -> set[str]:
        """Organizations whose readings stay in the buffer this time."""
        ...


class SensorStreamService:
    """Buffers readings and sends them to rooms. Embeddable: needs a hub and a running event loop, nothing else."""

    def __init__(
        self,
        hub: Hub,
        flush_interval_s: float = 1.0,
        *,
        stream: SensorStream | None = None,
        batch_max_bytes: int = DEFAULT_BATCH_MAX_BYTES,
        outbound: Outbound | None = None,
        now_us: Callable[[], int] = _epoch_us,
    ) -> None:
        """`now_us` gives microseconds since 1970; without `outbound`, organizations may send what they like."""
        self._hub = hub
        self._interval_s = flush_interval_s
        self.stream = SensorStream() if stream is None else stream
        self._batch_max_bytes = batch_max_bytes
        self._numbers = BatchNumbers(now_us)
        self._outbound = outbound
        self._now_us = now_us
        self._flushes = 0
        self._turns: deque[_OrganizationFlush] = deque()
        """Organizations that still have something to send; the first one's turn is next."""
        self._busy: set[str] = set()
        self._rounds = 0
        self._idle = asyncio.Event()
        self._pace = _Pace()
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
        """Flush at whole intervals after the start, and once more when stopped, whatever is still under way then."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        async with asyncio.TaskGroup() as rounds:
            while not stopping.is_set():
                due_s = _next_due_s(due_s, loop.time(), self._interval_s)
                with contextlib.suppress(TimeoutError):  # the usual end of the wait: the interval is over
                    async with asyncio.timeout_at(due_s):
                        await stopping.wait()
                LOOP_LAG_SECONDS.observe(max(0.0, loop.time() - due_s))
                rounds.create_task(self._flush_guarded())
        await self._flush_guarded(last=True)

    async def _flush_guarded(self, *, last: bool = False) -> None:
        try:
            await self._flush_round(last=last)
        except Exception:
            FLUSH_ERRORS.inc()
            _log.exception("flush_failed")

    async def flush(self) -> FlushStats:
        """Send everything buffered now. May be called at any time; a call during a flush waits for its end."""
        while self._rounds:
            await self._idle.wait()
        return await self._flush_round()

    async def _flush_round(self, *, last: bool = False) -> FlushStats:
        """Send what is buffered of every organization that is not being flushed already."""
        started_s = time.perf_counter()
        self._flushes += 1
        due = [rate for rate in RATES if last or self._flushes % rate.multiple == 0]
        begun = self._begin(due, last=last)
        if not begun.flushes:
            return FlushStats()
        self._rounds += 1
        self._idle.clear()
        try:
            await self._take_turns(begun)
        finally:
            self._rounds -= 1
            if not self._rounds:
                self._idle.set()
        stats = self._record(begun.flushes, time.perf_counter() - started_s)
        begun.flushes.clear()  # each names the round: a cycle, which would keep all readings until it is collected
        return stats

    def _begin(self, due: list[Rate], *, last: bool) -> _Round:
        """Take readings over from the buffer, and put their organizations into the turns."""
        in_debt = self._outbound.in_debt() if self._outbound is not None and not last else set()
        keep = self._busy | in_debt
        drained = self.stream.drain(keep=keep, last=last)
        waiting = {organization_id for rate in due for organization_id in self.stream.rated.organizations(rate)}
        for organization_id in waiting - keep - drained.keys():
            drained[organization_id] = OrganizationReadings(organization_id)
        # Small organizations first: they cost the large ones little, and never wait for them.
        begun = _Round()
        for readings in sorted(drained.values(), key=lambda each: each.count):
            begun.flushes.append(_OrganizationFlush(begun, readings, self._steps(readings, due)))
        begun.left = len(begun.flushes)
        self._busy.update(drained)
        self._turns.extend(begun.flushes)
        return begun

    async def _take_turns(self, begun: _Round) -> None:
        """Give turns, to whoever is next, until all of `begun` have ended. Several rounds share the turns."""
        while begun.left:
            turn = self._turns.popleft()
            try:
                cost_bytes = next(turn.steps)
                self._pace.spend(cost_bytes)
                if self._outbound is not None and cost_bytes:
                    self._outbound.spend_outbound(turn.readings.organization_id, cost_bytes)
            except StopIteration:
                self._end(turn)
            except Exception as exc:
                FLUSH_ERRORS.inc()
                _log.error("organization_not_sent", error=repr(exc))
                self._end(turn)
            else:
                self._turns.append(turn)
            if self._pace.is_used_up():
                await self._pace.rest()

    def _end(self, turn: _OrganizationFlush) -> None:
        turn.end()
        self._busy.discard(turn.readings.organization_id)
        units = turn.readings.units.values()
        on_time = (one.received_at_us for each in units for one in each if not one.late)  # late ones wait on purpose
        oldest_us = min(on_time, default=None)
        if oldest_us is not None:
            INGEST_TO_DELIVERY_SECONDS.observe(max(0.0, (self._now_us() - oldest_us) / 1e6))

    def _record(self, begun: list[_OrganizationFlush], duration_s: float) -> FlushStats:
        stats_of = {each.readings.organization_id: each.stats() for each in begun if each.readings.count}
        total = FlushStats(
            readings=sum(each.readings for each in stats_of.values()),
            units=sum(each.units for each in stats_of.values()),
            duration_ms=round(duration_s * 1_000, 3),
        )
        self._last_flush, self._last_flush_of = total, stats_of
        FLUSH_SECONDS.observe(duration_s)
        FLUSH_READINGS.inc(total.readings)
        _log.info("flush", organizations=len(stats_of), **msgspec.structs.asdict(total))
        return total

    def _steps(self, drained: OrganizationReadings, due: list[Rate]) -> Iterator[int]:
        """Flush one organization, each step short in time and in bytes; gives what each step has cost."""
        organization_room = Room.organization(drained)
        in_use = [rate for rate in RATES if self._hub.members(in_use_room(rate, organization_room))]
        yield from self._send(drained, FULL_RATE, in_use)
        for rate in in_use:
            yield from self._let_wait(drained, rate)
        for rate in due:
            waiting = self.stream.rated.take(rate, drained.organization_id)
            if waiting is not None:
                yield from self._send(waiting, rate, in_use)

    def _let_wait(self, drained: OrganizationReadings, rate: Rate) -> Iterator[int]:
        """Keep the readings that somebody follows at `rate`."""
        everything = bool(self._hub.members(rate.room(Room.organization(drained))))
        for number, (unit_id, readings) in enumerate(drained.units.items()):
            if everything or any(map(self._hub.members, _rooms(drained, unit_id, readings, rate))):
                self.stream.rated.add(rate, readings)
            if number % UNITS_PER_STEP == 0:
                yield 0

    def _send(self, drained: OrganizationReadings, rate: Rate, in_use: list[Rate]) -> Iterator[int]:
        """Encode and publish the batches of one organization to those who follow it at `rate`."""
        organization_room = Room.organization(drained)
        # Who follows the whole organization at another rate has its units from there.
        elsewhere = frozenset(each.room(organization_room) for each in (FULL_RATE, *in_use) if each != rate)
        publish = partial(self._publish, rate.room(organization_room), elsewhere)
        batches: list[Batch] = []
        size_bytes, encode_until_s = 0, time.perf_counter() + SLICE_S
        for batch in self._batches(drained, rate, [each for each in (FULL_RATE, *in_use) if each < rate]):
            batches.append(batch)
            size_bytes += len(batch.frame.text)
            if size_bytes >= self._batch_max_bytes:
                yield from publish(batches)
                batches, size_bytes = [], 0
            elif time.perf_counter() >= encode_until_s:
                # Only a turn for others: sending what there is by now would cost each subscriber a write more.
                yield 0
                encode_until_s = time.perf_counter() + SLICE_S
        yield from publish(batches)

    def _batches(self, drained: OrganizationReadings, rate: Rate, faster: list[Rate]) -> Iterator[Batch]:
        """Encode each unit's readings once; a unit that nobody follows, or that cannot be encoded, is left out."""
        organization_room = rate.room(Room.organization(drained))
        next_seq = partial(self._numbers.next_of, drained.organization_id)
        for unit_id, readings in drained.units.items():
            room = Room.unit(drained, unit_id)
            try:
                rooms = _rooms(drained, unit_id, readings, rate)
                if not any(map(self._hub.members, (organization_room, *rooms))):
                    continue
                instead = frozenset().union(*(_rooms_of_all(drained, unit_id, readings, each) for each in faster))
                conflation = Conflation(room, max(reading.recorded_at_us for reading in readings))
                for payload in batch_payloads(unit_id, readings, max_bytes=self._batch_max_bytes, next_seq=next_seq):
                    yield Batch(rooms, event_frame(BATCH_EVENT, payload, conflation=conflation), instead)
            except Exception as exc:
                FLUSH_ERRORS.inc()
                _log.error("unit_not_sent", room=room, error=repr(exc))

    def _publish(self, room: Room, elsewhere: frozenset[Room], batches: list[Batch]) -> Iterator[int]:
        if not batches:
            return
        try:
            yield from self._hub.publish_in_slices(room, batches, elsewhere=elsewhere)
            FLUSH_BATCHES.inc(len(batches))
        except Exception as exc:
            FLUSH_ERRORS.inc()
            _log.error("room_not_sent", room=room, error=repr(exc))


def _rooms(owner: Owned, unit_id: str, readings: list[Reading], rate: Rate) -> tuple[Room, ...]:
    """The rooms of those who follow a unit, or a site its readings name, at `rate`."""
    site_ids = {reading.site_id for reading in readings if reading.site_id is not None}
    return (rate.room(Room.unit(owner, unit_id)), *(rate.room(Room.site(owner, each)) for each in sorted(site_ids)))


def _rooms_of_all(owner: Owned, unit_id: str, readings: list[Reading], rate: Rate) -> tuple[Room, ...]:
    """Of these, the ones that get every reading by `rate`: that of a site only when it is the site of all readings."""
    is_one_site = len({reading.site_id for reading in readings}) == 1
    return _rooms(owner, unit_id, readings if is_one_site else [], rate)


class _Round:
    """The organizations that one tick has begun to flush, and how many of them have not ended."""

    def __init__(self) -> None:
        self.flushes: list[_OrganizationFlush] = []
        self.left = 0


class _OrganizationFlush:
    """One organization's part in a round, as far as it has come."""

    def __init__(self, begun: _Round, readings: OrganizationReadings, steps: Iterator[int]) -> None:
        self.readings = readings
        self.steps = steps
        self._round = begun
        self._started_s = time.perf_counter()
        self._duration_s = 0.0

    def end(self) -> None:
        """Note that everything was sent."""
        self._round.left -= 1
        self._duration_s = time.perf_counter() - self._started_s

    def stats(self) -> FlushStats:
        """What was sent at the full rate, and in what time."""
        return FlushStats(
            readings=self.readings.count,
            units=len(self.readings.units),
            duration_ms=round(self._duration_s * 1_000, 3),
        )


class _Pace:
    """Whether flushes have used up their slice of the loop, in time or in writing (which the loop does afterwards)."""

    def __init__(self) -> None:
        self._slice_ends_s = 0.0
        self._left_bytes = 0

    def spend(self, cost_bytes: int) -> None:
        self._left_bytes -= cost_bytes

    def is_used_up(self) -> bool:
        return self._left_bytes <= 0 or time.perf_counter() >= self._slice_ends_s

    async def rest(self) -> None:
        """Let everything else that is ready run, then begin a new slice."""
        await asyncio.sleep(0)
        self._slice_ends_s = time.perf_counter() + SLICE_S
        self._left_bytes = SLICE_COST_BYTES


def _next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """The first whole interval after `due_s` that is still to come: missed ticks are skipped, never made up for."""
    return due_s + interval_s * max(1, math.floor((now_s - due_s) / interval_s) + 1)
