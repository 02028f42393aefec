"""The numbers of batches, by organization.

Owns the last number of each. The invariants: what one organization sees of them says nothing about how much is sent to
others; they only grow, also across restarts and when an organization was forgotten in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

ORGANIZATIONS_MAX: Final = 20_000
"""Organizations remembered (about 3 MiB); the longest silent one leaves first."""


class BatchNumbers:
    """`next_of` numbers batches. `now_us` gives microseconds since 1970."""

    def __init__(self, now_us: Callable[[], int], *, organizations_max: int = ORGANIZATIONS_MAX) -> None:
        self._now_us = now_us
        self._organizations_max = organizations_max
        self._last: dict[str, int] = {}

    def next_of(self, organization_id: str) -> int:
        """Give the next number: one more than the last, or the time when there is no last one.

        Microseconds outrun batches, so the time is above every number given before; below 2**53 until 2255.
        """
        last = self._last.pop(organization_id, None)
        number = self._now_us() if last is None else last + 1
        self._last[organization_id] = number  # a dict keeps the order of insertion: the first is the longest silent
        if len(self._last) > self._organizations_max:
            del self._last[next(iter(self._last))]
        return number
