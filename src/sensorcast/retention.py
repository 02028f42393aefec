"""Readings that are too old are deleted, in small steps with pauses between.

Owns when; how is the store's. The invariant: a step is short, and the pause after it is longer than the step was, so
deleting never takes more than a part of the store's time, however much there is to delete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from sensorcast.metrics import RETENTION_DELETED
from sensorcast.rounds import repeat
from sensorcast.store import ReadingStore

_DAY_US: Final = 86_400 * 1_000_000
STEP_READINGS: Final = 1_000
"""Readings deleted in one transaction: some 10 ms, in which the writer does nothing else."""

_SHORTEST_PAUSE_S: Final = 0.05
_PAUSE_PER_WORK: Final = 4
"""A fifth of the store's time at most."""

BETWEEN_ROUNDS_S: Final = 600.0

_log = structlog.get_logger(__name__)


class Retention:
    """Start with `start`, end with `stop`; does nothing when `days` is 0. `clock_s` gives seconds since 1970."""

    def __init__(self, store: ReadingStore, days: int, *, clock_s: Callable[[], float]) -> None:
        self._store = store
        self._days = days
        self._clock_s = clock_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a round at once."""
        if self._days:
            rounds = repeat("retention", self.round, pause_s=BETWEEN_ROUNDS_S)
            self._task = asyncio.create_task(rounds, name="sensorcast-retention")

    async def stop(self) -> None:
        """End; a step under way is finished by the store."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def round(self) -> int:
        """Delete everything that is too old by now; give how many readings that were."""
        before_us = int(self._clock_s() * 1_000_000) - self._days * _DAY_US
        loop, deleted = asyncio.get_running_loop(), 0
        while True:
            started_s = loop.time()
            step = await self._store.expire(before_us=before_us, limit=STEP_READINGS)
            if step == 0:
                break
            deleted += step
            RETENTION_DELETED.inc(step)
            await asyncio.sleep(max(_SHORTEST_PAUSE_S, _PAUSE_PER_WORK * (loop.time() - started_s)))
        if deleted:
            _log.info("retention", deleted_readings=deleted, days=self._days)
        return deleted
