"""What became of the readings of a load test: sent, accepted, delivered to whom, how late, twice, not at all.

Owns the counts. The invariant: a delivery counts once for each connection and accepted reading; more is a duplicate,
less is a loss, and readings of others than this test are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from sensorcast.loadtest.connection import Connection

METRIC: Final = "loadtest"
"""The measurement that carries a reading's number."""
_MAX_MS: Final = 60_000
"""Delays are counted by the millisecond up to here; what is later counts as this late."""
_CACHE_BATCHES: Final = 4_096
"""Batches whose numbers are remembered: all connections get the same bytes at about the same time."""


class _Item(msgspec.Struct):
    metrics: dict[str, float] | None = None


class _Batch(msgspec.Struct, rename="camel"):
    unit_id: str
    readings: list[_Item]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a test went."""

    clients: int
    lost_connections: int
    sent: int
    accepted: int
    expected: int
    """Deliveries: accepted readings times clients."""
    delivered: int
    lost: int
    duplicates: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    seconds: float
    server_cpu: float | None
    """Cores that the server has used; None when it is not on this machine."""


class Tally:
    """Counts for one test; `unit_prefix` marks its units."""

    def __init__(self, unit_prefix: str) -> None:
        self.unit_prefix = unit_prefix
        self.delivered = 0
        self.duplicates = 0
        self.accepted: set[int] = set()
        self._sent_at_s: list[float] = []
        self._delays = [0] * (_MAX_MS + 1)
        self._decoder = msgspec.json.Decoder(_Batch)
        self._numbers_of: dict[bytes, tuple[int, ...]] = {}

    @property
    def sent(self) -> int:
        """How many readings were sent."""
        return len(self._sent_at_s)

    def take_numbers(self, count: int, now_s: float) -> range:
        """Number the next `count` readings, sent at `now_s`."""
        first = len(self._sent_at_s)
        self._sent_at_s.extend([now_s] * count)
        return range(first, first + count)

    def arrived(self, connection: Connection, payload: bytes, now_s: float) -> None:
        """Count the readings of a batch that has come on `connection`."""
        for number in self._numbers(payload):
            seen = connection.seen
            if number >= len(seen):
                seen.extend(bytes(number + 1_024 - len(seen)))
            if seen[number]:
                self.duplicates += 1
                continue
            seen[number] = 1
            self.delivered += 1
            self._delays[min(_MAX_MS, round((now_s - self._sent_at_s[number]) * 1_000))] += 1

    def _numbers(self, payload: bytes) -> tuple[int, ...]:
        numbers = self._numbers_of.get(payload)
        if numbers is None:
            if len(self._numbers_of) >= _CACHE_BATCHES:
                self._numbers_of.clear()
            numbers = self._numbers_of[payload] = self._read(payload)
        return numbers

    def _read(self, payload: bytes) -> tuple[int, ...]:
        batch = self._decoder.decode(payload)
        if not batch.unit_id.startswith(self.unit_prefix):
            return ()
        found = (int(item.metrics[METRIC]) for item in batch.readings if item.metrics and METRIC in item.metrics)
        return tuple(number for number in found if 0 <= number < len(self._sent_at_s))

    def missing(self, connections: Iterable[Connection]) -> int:
        """Deliveries of accepted readings that have not come."""
        others = [number for number in range(self.sent) if number not in self.accepted]
        return sum(
            len(self.accepted)
            - each.seen.count(1)
            + sum(each.seen[number : number + 1] == b"\x01" for number in others)
            for each in connections
        )

    def percentile_ms(self, share: float) -> float:
        """The delay that `share` of all deliveries stayed within; 0 when there was none."""
        left = share * self.delivered
        for delay_ms, count in enumerate(self._delays):
            left -= count
            if count and left <= 0:
                return float(delay_ms)
        return 0.0

    def report(self, connections: Collection[Connection], *, seconds: float, server_cpu: float | None) -> Report:
        """Sum up."""
        return Report(
            clients=len(connections),
            lost_connections=sum(each.is_lost for each in connections),
            sent=self.sent,
            accepted=len(self.accepted),
            expected=len(self.accepted) * len(connections),
            delivered=self.delivered,
            lost=self.missing(connections),
            duplicates=self.duplicates,
            p50_ms=self.percentile_ms(0.5),
            p90_ms=self.percentile_ms(0.9),
            p99_ms=self.percentile_ms(0.99),
            max_ms=self.percentile_ms(1.0),
            seconds=seconds,
            server_cpu=server_cpu,
        )
