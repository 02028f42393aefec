"""Work on its way to the SQLite writer.

Owns the queue between the event loop and the writer's thread, and its bounds. The invariant: what is queued never
exceeds `queue_max_readings` readings or `queue_max_bytes` bytes (one single larger request excepted, when nothing else
waits); beyond them `put` refuses at once. `INGEST_QUEUE_READINGS` shows how much waits.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Sequence
from typing import Any, Final

import apsw

from sensorcast.errors import Unavailable
from sensorcast.metrics import INGEST_QUEUE_READINGS
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings

_GROUP_MAX_READINGS: Final = 5_000
"""Readings after which a group takes no further request: about 50 ms of work, so that the first need not wait long."""

_READING_BYTES: Final = 400
_METRIC_BYTES: Final = 150
"""What a reading and each of its metrics take in memory, roughly and rather too much: for the queue's bound."""

_END: Final = None


class Append:
    """Readings to be stored, and who waits for the verdicts."""

    __slots__ = ("bytes", "future", "readings")

    def __init__(self, readings: Sequence[Reading], future: asyncio.Future[list[Verdict]]) -> None:
        self.readings = readings
        self.future = future
        self.bytes = sum(_READING_BYTES + _METRIC_BYTES * len(reading.metrics or ()) for reading in readings)

    @property
    def weight(self) -> int:
        return len(self.readings)


class Change:
    """Any other write, for a transaction of its own; it takes the place of one reading."""

    __slots__ = ("future", "run")
    weight: Final = 1
    bytes: Final = _READING_BYTES

    def __init__(self, run: Callable[[apsw.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.run = run
        self.future = future


Job = Append | Change


class WriteQueue:
    """`put` and `free` belong to the event loop, `take_group` to the writer's thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._readings = 0
        self._bytes = 0

    def put(self, job: Job) -> None:
        """Add work. Raises `Unavailable` when there is too much already."""
        settings = self._settings
        # A request larger than a whole bound must still be possible: it is taken when nothing else waits.
        if self._readings and self._readings + job.weight > settings.queue_max_readings:
            raise _full(f"{settings.queue_max_readings} readings (setting queue_max_readings)")
        if self._readings and self._bytes + job.bytes > settings.queue_max_bytes:
            raise _full(f"{settings.queue_max_bytes} bytes (setting queue_max_bytes)")
        self._count(job.weight, job.bytes)
        self._jobs.put(job)

    def free(self, job: Job) -> None:
        """Give back the place of work that is done."""
        self._count(-job.weight, -job.bytes)

    def end(self) -> None:
        """Say that nothing will follow."""
        self._jobs.put(_END)

    def take_group(self, timeout_s: float | None) -> tuple[list[Job], bool]:
        """Wait for work; give all that waits, up to the group's bound, and whether it was the last."""
        group: list[Job] = []
        weight = 0
        try:
            job = self._jobs.get(timeout=timeout_s)
            while job is not _END:
                group.append(job)
                weight += job.weight
                if weight >= _GROUP_MAX_READINGS:
                    return group, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, False
        return group, True

    def _count(self, readings: int, size_bytes: int) -> None:
        self._readings += readings
        self._bytes += size_bytes
        INGEST_QUEUE_READINGS.set(self._readings)


def _full(limit: str) -> Unavailable:
    return Unavailable(f"the store's queue is full: {limit}", hint="Slow down and try again.", retry_after_s=1)
