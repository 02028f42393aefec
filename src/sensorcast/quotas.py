"""What one organization may take of this node, so that none takes it from another; and what it took.

Owns a bucket per organization for requests, readings and outbound bytes, the count of subscriptions, and the sums that
`/api/stats` shows. The invariants: a refusal says which setting it met and when to come back; nothing is refused
because of what another organization does; the memory is bounded like that of all token buckets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import msgspec

from sensorcast.errors import QuotaExceeded
from sensorcast.metrics import QUOTA_REFUSALS
from sensorcast.rate import BUCKETS_MAX, TokenBucket, TokenBuckets
from sensorcast.settings import Settings


class Usage(msgspec.Struct):
    """What an organization took of this node since the start; subscriptions: has now."""

    requests: int = 0
    readings: int = 0
    outbound_bytes: int = 0
    refused: int = 0
    subscriptions: int = 0


class Quotas:
    """One node's buckets. `clock_s` is monotonic."""

    def __init__(self, settings: Settings, clock_s: Callable[[], float]) -> None:
        self._settings = settings
        self._clock_s = clock_s
        rate, burst = settings.organization_requests_per_s, settings.organization_requests_burst
        self._requests = TokenBuckets(rate, burst)
        # A whole request must fit, or it could never be sent.
        readings_burst = max(settings.organization_readings_burst, settings.ingest_max_readings)
        self._readings = TokenBuckets(settings.organization_readings_per_s, readings_burst)
        self._outbound: dict[str, TokenBucket] = {}
        self._subscriptions: Counter[str] = Counter()
        self._usage: dict[str, Usage] = {}

    def take_request(self, organization_id: str) -> None:
        """Count one HTTP request. Raises `QuotaExceeded`."""
        wait_s = self._requests.take(organization_id, self._clock_s())
        if wait_s > 0:
            self._refuse_after(organization_id, wait_s, "requests", "organization_requests_per_s")
        self._used(organization_id).requests += 1

    def take_readings(self, organization_id: str, count: int) -> None:
        """Count readings about to be stored. Raises `QuotaExceeded` for all of them."""
        wait_s = self._readings.take(organization_id, self._clock_s(), count)
        if wait_s > 0:
            self._refuse_after(organization_id, wait_s, "readings", "organization_readings_per_s")
        self._used(organization_id).readings += count

    def check_subscription(self, organization_id: str) -> None:
        """Raise `QuotaExceeded` when the sockets of the organization follow as much as they may together."""
        if self._subscriptions[organization_id] >= self._settings.organization_subscriptions:
            self._refuse_after(organization_id, 1.0, "subscriptions", "organization_subscriptions")

    def add_subscriptions(self, organization_id: str, change: int) -> None:
        """Note that sockets of the organization follow more, or less."""
        self._subscriptions[organization_id] += change
        if self._subscriptions[organization_id] <= 0:
            del self._subscriptions[organization_id]

    def spend_outbound(self, organization_id: str, size_bytes: int) -> None:
        """Note what a flush has sent; it may go into debt, which the next flushes wait for."""
        now_s = self._clock_s()
        bucket = self._outbound.pop(organization_id, None)
        if bucket is None:
            rate = self._settings.organization_outbound_bytes_per_s
            bucket = TokenBucket(rate, rate, now_s)
        self._outbound[organization_id] = bucket  # the first is the longest silent
        if len(self._outbound) > BUCKETS_MAX:
            del self._outbound[next(iter(self._outbound))]
        bucket.spend(now_s, size_bytes)
        self._used(organization_id).outbound_bytes += size_bytes

    def in_debt(self) -> set[str]:
        """Organizations whose readings must wait, because what was sent for them has not been earned yet."""
        now_s = self._clock_s()
        return {name for name, bucket in self._outbound.items() if bucket.wait_s(now_s, 0.0) > 0}

    def usage(self, organization_id: str) -> Usage:
        """What the organization took."""
        used = self._usage.get(organization_id, Usage())
        return msgspec.structs.replace(used, subscriptions=self._subscriptions.get(organization_id, 0))

    def _used(self, organization_id: str) -> Usage:
        used = self._usage.get(organization_id)
        if used is None or len(self._usage) > BUCKETS_MAX // 2:
            self._usage.pop(organization_id, None)
            used = self._usage[organization_id] = used or Usage()  # the first is the longest silent
            if len(self._usage) > BUCKETS_MAX:
                del self._usage[next(iter(self._usage))]
        return used

    def _refuse_after(self, organization_id: str, wait_s: float, what: str, setting: str) -> None:
        self._used(organization_id).refused += 1
        QUOTA_REFUSALS.labels(what).inc()
        raise QuotaExceeded(
            f"the organization has used up its {what} (setting {setting})", retry_after_s=math.ceil(wait_s)
        )
