"""Answers to `get:latest:all`: of few units at once, of many one after the other.

Owns the order in which large answers are made. Encoding the readings of a large fleet takes tens of milliseconds, and
one client may ask fifty times in one read. The invariants: between two large answers everybody else has a turn; an
answer holds what was latest when it was asked for or later; who asks before another's answer is encoded shares it.

Limit: one encoded answer for each organization of which somebody waits; how many may wait is bounded by
`client_events_burst` for each connection, and by the connections.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from sensorcast.stream import SensorStream
from sensorcast.stream.outgoing import readings_json

AT_ONCE_UNITS: Final = 100
"""Up to half a millisecond of encoding: less than the task that would put it off costs, even fifty times."""


class _Answer:
    """The answer that those who wait for one organization may share."""

    __slots__ = ("began", "encoded", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.began = 0
        """Which request was the last before its encoding began; 0: it was not encoded."""
        self.encoded = msgspec.Raw()


class LatestAnswers:
    """Encodes the latest readings of organizations. Use it on the event loop."""

    def __init__(self, stream: SensorStream) -> None:
        self._stream = stream
        self._turn = asyncio.Lock()
        self._asked = 0
        self._answers: dict[str, _Answer] = {}

    def at_once(self, organization_id: str) -> msgspec.Raw | None:
        """Give the answer, or None when there is too much to encode it right away."""
        readings = self._stream.latest_of(organization_id)
        return msgspec.Raw(readings_json(readings)) if len(readings) <= AT_ONCE_UNITS else None

    async def in_turn(self, organization_id: str) -> msgspec.Raw:
        """Give the answer when those who asked before have theirs."""
        self._asked += 1
        asked = self._asked
        answer = self._answers.setdefault(organization_id, _Answer())
        answer.waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(0)
                if answer.began < asked:
                    answer.began = self._asked
                    answer.encoded = msgspec.Raw(readings_json(self._stream.latest_of(organization_id)))
                return answer.encoded
        finally:
            answer.waiting -= 1
            if not answer.waiting:
                del self._answers[organization_id]
