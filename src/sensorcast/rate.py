"""Token buckets: how often somebody may do something. Pure: the time is an argument.

Owns the arithmetic of rates and the bound on how many buckets are kept. The invariant: over any stretch of `t` seconds
at most `burst + rate * t` tokens are taken, and the memory does not grow with the number of callers seen.
"""

from __future__ import annotations

from typing import Final

BUCKETS_MAX: Final = 20_000
"""Callers remembered by one table (about 4 MiB); the longest silent one leaves first, and starts full if it returns."""


class TokenBucket:
    """Holds up to `burst` tokens, refilled at `rate_per_s`; starts full."""

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_s")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._updated_s = now_s

    def take(self, now_s: float, tokens: float = 1.0) -> float:
        """Take tokens and give 0.0; when there are too few take none and give the seconds until there are enough."""
        left = self._refilled(now_s) - tokens
        if left < 0:
            return -left / self._rate_per_s
        self._tokens = left
        return 0.0

    def spend(self, now_s: float, tokens: float) -> None:
        """Take tokens, also more than there are; `wait_s(now_s, 0.0)` then tells when the debt is paid."""
        self._tokens = self._refilled(now_s) - tokens

    def wait_s(self, now_s: float, tokens: float = 1.0) -> float:
        """Give the seconds until there are that many tokens, and take none; 0.0 when they are there."""
        return 0.0 if self._refilled(now_s) >= tokens else (tokens - self._tokens) / self._rate_per_s

    def _refilled(self, now_s: float) -> float:
        elapsed_s = now_s - self._updated_s
        self._updated_s = now_s
        if elapsed_s > 0 and self._tokens < self._burst:
            filled = self._tokens + elapsed_s * self._rate_per_s
            self._tokens = filled if filled < self._burst else self._burst
        return self._tokens


class TokenBuckets:
    """One bucket per caller, at most `buckets_max` of them."""

    def __init__(self, rate_per_s: float, burst: float, *, buckets_max: int = BUCKETS_MAX) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._buckets_max = buckets_max
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, caller: str, now_s: float, tokens: float = 1.0) -> float:
        """Take tokens of a caller's bucket; give 0.0, or the seconds to wait."""
        buckets = self._buckets
        bucket = buckets.get(caller)
        # A dict keeps the order of insertion: the first is the longest silent, but for while there is much room.
        if bucket is None or len(buckets) > self._buckets_max // 2:
            buckets.pop(caller, None)
            bucket = buckets[caller] = bucket or TokenBucket(self._rate_per_s, self._burst, now_s)
            if len(buckets) > self._buckets_max:
                del buckets[next(iter(buckets))]
        return bucket.take(now_s, tokens)

    def wait_s(self, caller: str, now_s: float, tokens: float = 1.0) -> float:
        """Give the seconds until a caller may take tokens, and take none."""
        bucket = self._buckets.get(caller)
        return 0.0 if bucket is None else bucket.wait_s(now_s, tokens)

    def __len__(self) -> int:
        return len(self._buckets)
