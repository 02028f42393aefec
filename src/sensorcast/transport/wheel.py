"""One timer for all connections: a wheel of slots, advanced by lived time.

Owns the heartbeat clock of an endpoint. The invariant: the wheel never jumps. When the process stood still (a debugger,
SIGSTOP, a long garbage collection) it goes on from where it was, so nobody is timed out for time in which the server
itself was not listening. An entry costs one list slot; nothing is cancelled, an entry that is over answers None, and
one that fails is logged and tried again later, while the others keep their time.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

_log = structlog.get_logger(__name__)

MIN_TICK_S: Final = 0.005
"""Finest slot: below it, the timer itself would be the load."""
MAX_TICK_S: Final = 0.5
"""Coarsest slot: heartbeats may come half a second late, which is 2 % of the default interval. Waking up costs more
than what is done then, so not more often."""
TICKS_PER_SHORTEST: Final = 20
"""The shortest timeout is kept to a twentieth of itself."""
RETRY_S: Final = 10.0
"""Time until an entry that failed is tried again: its connection keeps a deadline, and the log is not flooded."""


class Timed(Protocol):
    """Anything with a next moment."""

    def due(self, now_s: float) -> float | None:
        """Do what is due at `now_s`; return the next moment, or None when there is none any more."""
        ...


class TimerWheel:
    """Calls `due` of every entry at its moment, within one tick. `now_s` is lived time, starting at 0."""

    def __init__(self, shortest_timeout_s: float) -> None:
        self.tick_s = min(MAX_TICK_S, max(MIN_TICK_S, shortest_timeout_s / TICKS_PER_SHORTEST))
        self._tick = 0
        self._slots: dict[int, list[Timed]] = {}
        self._handle: asyncio.TimerHandle | None = None

    @property
    def now_s(self) -> float:
        """Lived seconds since the wheel was made."""
        return self._tick * self.tick_s

    def add(self, entry: Timed, due_s: float) -> None:
        """Ask for `entry.due` at lived time `due_s` (not before the next tick)."""
        tick = max(self._tick + 1, -int(-due_s // self.tick_s))
        self._slots.setdefault(tick, []).append(entry)

    def advance(self) -> None:
        """Live one tick."""
        self._tick += 1
        now_s = self.now_s
        for entry in self._slots.pop(self._tick, ()):
            try:
                next_s = entry.due(now_s)
            except Exception as exc:
                _log.error("timer_entry_failed", exc_info=exc)
                next_s = now_s + RETRY_S
            if next_s is not None:
                self.add(entry, next_s)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Advance once a tick on `loop`, until `stop`."""
        self._arm(loop, loop.time() + self.tick_s)

    def _arm(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        self._handle = loop.call_at(at_s, self._turn, loop, at_s)

    def _turn(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        # Small lateness is made up for, so heartbeats do not drift; a stall is not, see the head of this module.
        now_s = loop.time()
        if now_s - at_s < self.tick_s:
            self._arm(loop, at_s + self.tick_s)
            self.advance()
        else:
            # What arrived meanwhile is read before the next tick, so that a pong in the socket counts.
            self._arm(loop, now_s + self.tick_s)

    def stop(self) -> None:
        """Stop advancing. Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
