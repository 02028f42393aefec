"""How much work may wait for a store's writer.

Owns the count behind `queue_max_readings` and `queue_max_bytes`. The invariant: what waits never exceeds them (one
single larger request excepted, when nothing else waits); beyond them `take` refuses at once. Used on the event loop.
Metric: `INGEST_QUEUE_READINGS` shows how much waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sensorcast.errors import Unavailable
from sensorcast.metrics import INGEST_QUEUE_READINGS
from sensorcast.model import Reading
from sensorcast.settings import Settings

GROUP_MAX_READINGS: Final = 5_000
"""Readings after which a group takes no further request: about 50 ms of work, so that the first need not wait long."""

READING_BYTES: Final = 400
_METRIC_BYTES: Final = 150
"""What a reading and each of its metrics take in memory, roughly and rather too much: for the queue's bound."""


def memory_bytes(readings: Sequence[Reading]) -> int:
    """Give what readings take in memory, roughly."""
    metrics = sum([len(reading.metrics) for reading in readings if reading.metrics])
    return READING_BYTES * len(readings) + _METRIC_BYTES * metrics


class WriteBounds:
    """The readings and bytes that wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readings = 0
        self._bytes = 0
        INGEST_QUEUE_READINGS.set_function(lambda: self._readings)  # asked for now and then, changed at every request

    def take(self, readings: int, size_bytes: int) -> None:
        """Count work that is to wait. Raises `Unavailable` when there is too much already."""
        settings = self._settings
        # A request larger than a whole bound must still be possible: it is taken when nothing else waits.
        if self._readings and self._readings + readings > settings.queue_max_readings:
            raise _full(f"{settings.queue_max_readings} readings (setting queue_max_readings)")
        if self._readings and self._bytes + size_bytes > settings.queue_max_bytes:
            raise _full(f"{settings.queue_max_bytes} bytes (setting queue_max_bytes)")
        self._count(readings, size_bytes)

    def free(self, readings: int, size_bytes: int) -> None:
        """Give back the place of work that is done."""
        self._count(-readings, -size_bytes)

    def _count(self, readings: int, size_bytes: int) -> None:
        self._readings += readings
        self._bytes += size_bytes


def _full(limit: str) -> Unavailable:
    return Unavailable(f"the store's queue is full: {limit}", hint="Slow down and try again.", retry_after_s=1)
