"""The path of readings behind every door: place, make durable, stream, register, answer.

Owns the order of the steps. The invariant: a reading is streamed only after it was committed, and only once; what
streaming does can never change the answer, and a caller who goes away changes neither.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from sensorcast.errors import InvalidReading, Unavailable
from sensorcast.metrics import INGEST_READINGS, STREAM_ERRORS
from sensorcast.model import Reading, Verdict
from sensorcast.registry import Registry
from sensorcast.settings import Settings
from sensorcast.store import ReadingStore

_STORED, _DUPLICATE, _CONFLICTING, _REJECTED = map(
    INGEST_READINGS.labels, ("stored", "duplicate", "conflict", "rejected")
)
DEFAULTS: Final = Settings()
_NEARLY: Final = 7 / 8
"""How full the queue is when nothing more is even read: what was read by then still finds room."""

Items = Sequence[Reading | InvalidReading]
_id: Final = attrgetter("id")
_recorded_at: Final = attrgetter("recorded_at_us")
_log = structlog.get_logger(__name__)


class ReadingSink(Protocol):
    """Where stored readings go next: the stream."""

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None:
        """Take stored readings of one organization, the oldest first."""
        ...


class Rejected(msgspec.Struct, frozen=True):
    """One item that was not stored, by its place in the request."""

    index: int
    code: str
    message: str


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What became of a request, in the form in which it is answered. `reading_ids` has one entry per item."""

    success: bool
    inserted_count: int
    reading_ids: list[str | None]
    alerts_triggered: int
    duplicate_count: int
    rejected: list[Rejected]


Answer = Callable[[Receipt | BaseException], None]
"""What is to be done with the receipt, or with the error that stands in its place."""


class _Finished(NamedTuple):
    """A request that the store has answered: verdicts on its readings, or an error."""

    organization_id: str
    items: Items
    readings: Sequence[Reading]
    verdicts: Sequence[Verdict]
    error: BaseException | None
    answer: Answer | None


class Pipeline:
    """Takes readings of authenticated callers. Needs an open store and a started registry."""

    def __init__(
        self, store: ReadingStore, sink: ReadingSink, registry: Registry, settings: Settings = DEFAULTS
    ) -> None:
        self._store = store
        self._sink = sink
        self._registry = registry
        self._settings = settings
        self._waiting_readings = 0
        self._in_flight: dict[asyncio.Future[list[Verdict]], float] = {}
        """What the store has not answered, and since when on the loop's clock; the first has waited longest."""
        self._finished: list[_Finished] = []
        """What the store has just answered, in this turn of the loop."""

    def refuse_when_full(self) -> None:
        """Raise `Unavailable` when so much waits for the store that reading a further request would be in vain.

        Refusing after the decoding costs as much as storing: beyond its capacity a server that did would get nothing
        done in time. By age as well as by number, because how much is done in a second depends on the disk.
        """
        if self._waiting_readings >= _NEARLY * self._settings.queue_max_readings:
            raise _full(f"{self._waiting_readings} readings wait for it (setting queue_max_readings)")
        since_s = next(iter(self._in_flight.values()), math.inf)
        if asyncio.get_running_loop().time() - since_s > self._settings.queue_max_wait_s:
            raise _full("the first has waited for longer than the setting queue_max_wait_s allows")

    async def accept(self, organization_id: str, items: Items) -> Receipt:
        """Store and stream the good ones among items; give the receipt after the commit.

        Raises `Unavailable` or `StorageFull` when nothing was stored; sending the same again is safe. When the caller
        is cancelled, what went to the store is finished all the same.
        """
        items = await self._prepare(organization_id, items)
        appending = self._append(organization_id, items)
        return _receipt(items, await asyncio.shield(appending))

    def accept_known(self, organization_id: str, items: Items, answer: Answer) -> bool:
        """As `accept`, without a task: calls `answer` later. False, and nothing done, when units must be looked up."""
        self._refuse_beyond_queue(len(items))
        prepared = self._registry.prepare_known(organization_id, items)
        if prepared is None:
            return False
        self._append(organization_id, prepared, answer)
        return True

    def _append(
        self, organization_id: str, items: Items, answer: Answer | None = None
    ) -> asyncio.Future[list[Verdict]]:
        readings = [item for item in items if isinstance(item, Reading)]
        appending = asyncio.ensure_future(self._store.append(readings))
        self._in_flight[appending] = appending.get_loop().time()
        self._waiting_readings += len(readings)
        # Comes before whoever awaits the same, and needs nobody who does. (A task of its own for all of this was an
        # eighth of what a small request costs.)
        appending.add_done_callback(partial(self._appended, organization_id, items, readings, answer))
        return appending

    async def _prepare(self, organization_id: str, items: Items) -> Items:
        """Place the readings. Where their units must be looked up, they wait for the store like all others."""
        self._refuse_beyond_queue(len(items))
        self._waiting_readings += len(items)
        try:
            return await self._registry.prepare(organization_id, items)
        finally:
            self._waiting_readings -= len(items)

    def _refuse_beyond_queue(self, count: int) -> None:
        waiting = self._waiting_readings
        if waiting and waiting + count > self._settings.queue_max_readings:
            raise _full(f"{waiting} readings wait for it (setting queue_max_readings)")

    async def drain(self) -> None:
        """Wait until everything accepted is stored and streamed; for a graceful stop."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)
        if self._finished:
            self._follow_up()

    def _appended(
        self,
        organization_id: str,
        items: Items,
        readings: Sequence[Reading],
        answer: Answer | None,
        appending: asyncio.Future[list[Verdict]],
    ) -> None:
        del self._in_flight[appending]
        self._waiting_readings -= len(readings)
        error = asyncio.CancelledError() if appending.cancelled() else appending.exception()
        verdicts = appending.result() if error is None else ()
        self._finished.append(_Finished(organization_id, items, readings, verdicts, error, answer))
        if len(self._finished) == 1:
            # Behind all that shared a commit, and before any of their callers goes on: what comes after is done once
            # for all of them, which for small requests is most of it.
            appending.get_loop().call_soon(self._follow_up)

    def _follow_up(self) -> None:
        """Stream, register, count and answer what was stored in this turn of the loop."""
        finished, self._finished = self._finished, []
        stored: dict[str, list[Reading]] = {}
        for each in finished:
            if each.verdicts:
                stored.setdefault(each.organization_id, []).extend(_stored(each.readings, each.verdicts))
        for organization_id, readings in stored.items():
            self._stream(organization_id, readings)
            try:
                self._registry.registered(organization_id, readings)
            except Exception:  # what is stored is answered, whatever goes wrong after it
                _log.exception("registration_fault", organization=organization_id)
        _count(finished)
        for each in finished:
            _answer(each)

    def _stream(self, organization_id: str, stored: Sequence[Reading]) -> None:
        """Hand readings to the sink; a failure there is ours to see and nobody else's to feel."""
        # By time, so that nothing is late for its place in the request.
        in_order = sorted(stored, key=_recorded_at) if len(stored) > 1 else stored
        try:
            self._sink.add_readings(organization_id, in_order)
        except Exception as exc:
            STREAM_ERRORS.inc()
            _log.error("stream_failed", error=repr(exc), readings=len(in_order), organization=organization_id)


def _full(reason: str) -> Unavailable:
    return Unavailable(f"the store's queue is full: {reason}", hint="Slow down and try again.", retry_after_s=1)


def _receipt(items: Items, verdicts: Sequence[Verdict]) -> Receipt:
    if verdicts.count(Verdict.STORED) == len(items):
        return Receipt(True, len(items), list(map(_id, items)), 0, 0, [])
    return _receipt_of_some(items, verdicts)


def _receipt_of_some(items: Items, verdicts: Sequence[Verdict]) -> Receipt:
    reading_ids: list[str | None] = []
    rejected: list[Rejected] = []
    remaining = iter(verdicts)
    for index, item in enumerate(items):
        refusal = (
            item if isinstance(item, InvalidReading) else _CONFLICT if next(remaining) is Verdict.CONFLICT else None
        )
        if refusal is not None:
            rejected.append(Rejected(index, refusal.item_code, refusal.message))
        reading_ids.append(item.id if refusal is None and isinstance(item, Reading) else None)
    return Receipt(
        success=True,
        inserted_count=verdicts.count(Verdict.STORED),
        reading_ids=reading_ids,
        alerts_triggered=0,
        duplicate_count=verdicts.count(Verdict.DUPLICATE),
        rejected=rejected,
    )


_CONFLICT = InvalidReading(
    "conflict", "a reading with this id, or of this unit, device and recordedAt, is stored with other values"
)


def _stored(readings: Sequence[Reading], verdicts: Sequence[Verdict]) -> Sequence[Reading]:
    if verdicts.count(Verdict.STORED) == len(verdicts):
        return readings
    return [reading for reading, verdict in zip(readings, verdicts, strict=True) if verdict is Verdict.STORED]


def _count(finished: Sequence[_Finished]) -> None:
    """Count what became of each item of the requests that did not fail as a whole."""
    good = [each for each in finished if each.error is None]
    items, judged = sum([len(each.items) for each in good]), sum([len(each.verdicts) for each in good])
    stored = sum([each.verdicts.count(Verdict.STORED) for each in good])
    duplicate = sum([each.verdicts.count(Verdict.DUPLICATE) for each in good]) if stored < judged else 0
    for counter, count in (
        (_STORED, stored),
        (_DUPLICATE, duplicate),
        (_CONFLICTING, judged - stored - duplicate),
        (_REJECTED, items - judged),
    ):
        if count:
            counter.inc(count)


def _answer(finished: _Finished) -> None:
    if finished.answer is None:
        return
    try:
        finished.answer(finished.error or _receipt(finished.items, finished.verdicts))
    except Exception:  # of one caller; the others wait for theirs
        _log.exception("answer_fault", organization=finished.organization_id)
