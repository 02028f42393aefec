"""Whether a message was made just now, by the clocks of its sender and of this node.

Owns the bound on age. A message that follows others of its sender is judged by its number alone; the age is asked only
of the first one that is heard of a sender, which has nothing else to tell it from a recording. The invariant: what was
recorded more than twice the bound ago is no fresh message, as long as the clocks differ by less than the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

_MICROS: Final = 1_000_000
_log = structlog.get_logger(__name__)


class Freshness:
    """Judges by the clock `clock_s`, seconds since 1970."""

    def __init__(self, age_max_s: float, clock_s: Callable[[], float]) -> None:
        self.age_max_s = age_max_s
        self.remembered_s = 2 * age_max_s
        """For how long a message may pass for a fresh one after it was heard: its sender's clock may be ahead."""
        self._clock_s = clock_s
        self._silent_until_s = 0.0

    def holds(self, sent_us: int) -> bool:
        """Whether a message sent then is fresh. One from the future is not: a clock is wrong, or was."""
        return abs(self._clock_s() - sent_us / _MICROS) <= self.age_max_s

    def warn(self, origin: str, sent_us: int) -> None:
        """Say that a message was not, at most once in `age_max_s`: it may be a clock that an operator can set."""
        now_s = self._clock_s()
        if now_s >= self._silent_until_s:
            self._silent_until_s = now_s + self.age_max_s
            age_s = round(now_s - sent_us / _MICROS, 1)
            _log.warning("bus_stale", origin=origin, age_s=age_s, setting="bus_message_age_s")
