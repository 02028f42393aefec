"""How often one address may present credentials that do not hold, before they are not even looked at.

Owns the count of failures by address. The invariant: a check costs no cryptography and no store, and whoever only
presents good credentials is never counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sensorcast.addresses import network_of
from sensorcast.errors import QuotaExceeded
from sensorcast.metrics import CREDENTIALS_REFUSED
from sensorcast.rate import TokenBuckets
from sensorcast.settings import Settings


class Attempts:
    """Failures of each address. `clock_s` is monotonic."""

    def __init__(self, settings: Settings, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._failures = TokenBuckets(settings.bad_credentials_per_s, settings.bad_credentials_burst)

    def check(self, address: str) -> None:
        """Raise `QuotaExceeded` when too many credentials from this address did not hold."""
        wait_s = self._failures.wait_s(network_of(address), self._clock_s())
        if wait_s > 0:
            CREDENTIALS_REFUSED.labels("limited").inc()
            raise QuotaExceeded(
                "too many credentials from this address did not hold "
                "(settings bad_credentials_per_s, bad_credentials_burst)",
                retry_after_s=math.ceil(wait_s),
            )

    def failed(self, address: str) -> None:
        """Count a credential that did not hold."""
        CREDENTIALS_REFUSED.labels("bad").inc()
        self._failures.take(network_of(address), self._clock_s())
