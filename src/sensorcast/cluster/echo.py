"""Whether our own beats come back: the proof that we are heard and hear, whatever the connections look like.

Owns their numbers; when they are sent and what silence means is the relay's. The invariant: a beat counts once, so that
one which somebody has recorded proves nothing.
"""

from __future__ import annotations

import math


class Echo:
    """Counts beats that are sent every `beat_s`; they are overdue when none came back for `silence_s`."""

    def __init__(self, *, silence_s: float, beat_s: float) -> None:
        self.is_missing = False
        """Whether we hold ourselves for deaf; the relay's to say."""
        self._unheard_max = math.ceil(silence_s / beat_s)
        self._sent = 0
        self._back = 0

    @property
    def is_overdue(self) -> bool:
        """Whether more beats are under way than can be."""
        return self._sent - self._back > self._unheard_max

    def send(self) -> int:
        """Give the number of the next beat."""
        self._sent += 1
        return self._sent

    def excuse(self) -> None:
        """Those sent until now were sent to nobody."""
        self._back = self._sent

    def came_back(self, number: int) -> bool:
        """Take note of a beat of our own; False for one that we know of already."""
        if not self._back < number <= self._sent:
            return False
        self._back = number
        return True
