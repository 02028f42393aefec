"""Work on its way to the SQLite writer.

Owns the queue between the event loop and the writer's thread; its bounds are `write_bounds`. The invariant: everything
put in comes out once, in order, in groups that are no longer than the first of them needs to wait.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import apsw

from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store.write_bounds import GROUP_MAX_READINGS, READING_BYTES, WriteBounds, memory_bytes

_END: Final = None


class Append:
    """Readings to be stored, and who waits for the verdicts."""

    __slots__ = ("bytes", "future", "readings", "weight")

    def __init__(self, readings: Sequence[Reading], future: asyncio.Future[list[Verdict]]) -> None:
        self.readings = readings
        self.future = future
        self.weight = len(readings)
        self.bytes = memory_bytes(readings)


class Change:
    """Any other write, for a transaction of its own; it takes the place of one reading."""

    __slots__ = ("future", "run")
    weight: Final = 1
    bytes: Final = READING_BYTES

    def __init__(self, run: Callable[[apsw.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.run = run
        self.future = future


Job = Append | Change


class WriteQueue:
    """`take_group` belongs to the writer's thread, everything else to the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._bounds = WriteBounds(settings)
        self._gathered: list[Job] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def put(self, job: Job) -> bool:
        """Add work; tell whether it is the first since `hand_over`. Raises `Unavailable` when there is too much."""
        self._bounds.take(job.weight, job.bytes)
        self._gathered.append(job)
        return len(self._gathered) == 1

    def hand_over(self) -> None:
        """Give the writer all that was put.

        Once in a turn of the event loop: woken for the first request of many, the writer would commit it alone.
        """
        gathered, self._gathered = self._gathered, []
        for job in gathered:
            self._jobs.put(job)

    def free(self, jobs: Iterable[Job]) -> None:
        """Give back the places of work that is done."""
        sizes = [(job.weight, job.bytes) for job in jobs]
        self._bounds.free(sum([weight for weight, _ in sizes]), sum([size_bytes for _, size_bytes in sizes]))

    def end(self) -> None:
        """Say that nothing will follow."""
        self.hand_over()
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
                if weight >= GROUP_MAX_READINGS:
                    return group, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, False
        return group, True
