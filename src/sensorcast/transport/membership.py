"""What a socket is in its organization, and until when.

Owns the moments at which credentials end: one heap of wall clock times, looked at every second, so that a look costs
nothing for those whose time has not come and neither a stopped process nor a clock that was set lets anybody stay. The
invariants: a socket is told `EXPIRING_S` before its end, once, and is gone `CHECK_S` after it; of a socket that has
ended nothing is kept, and its place in the heap for as long as there are more live ones.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Final

from sensorcast.model import Identity
from sensorcast.stream.rates import Rate
from sensorcast.transport.socket import Socket
from sensorcast.transport.wheel import TimerWheel

CHECK_S: Final = 1.0
"""How late a socket is cut at most after its credential's end, give or take a tick of the wheel."""
EXPIRING_S: Final = 60.0
"""How long before the end a client is told: enough to fetch a new token by hand."""
_SLACK: Final = 64


class Membership:
    """Who a socket is. Kept in `socket.data`."""

    __slots__ = (
        "due_at_s",
        "ends_at_s",
        "identity",
        "is_warned",
        "moment",
        "rate",
        "slow_since",
        "socket",
        "subscriptions",
    )

    def __init__(self, socket: Socket, identity: Identity, ends_at_s: float | None) -> None:
        self.identity = identity
        self.ends_at_s = ends_at_s
        self.socket: Socket | None = socket
        """None once it has ended."""
        self.rate: Rate | None = None
        """At which it asked for its whole organization at CONNECT; None when it did not."""
        self.slow_since: str | None = None
        """When the client began to lose batches to newer ones; None while it keeps up."""
        self.subscriptions = 0
        """Rooms it is in, as far as its organization's share was told."""
        self.is_warned = False
        self.due_at_s: float | None = None
        """Seconds since 1970 at which to look next; the owner of the moments sets it."""
        self.moment = -1
        """The number of that moment among all of them: of two at the same time only the last arranged counts."""

    def renew(self, identity: Identity, ends_at_s: float | None) -> None:
        """Take over what a new credential of the same user says."""
        self.identity = identity
        self.ends_at_s = ends_at_s
        self.is_warned = False

    def next_moment_s(self) -> float | None:
        """When something is to be done about its end, in seconds since 1970."""
        if self.socket is None or self.ends_at_s is None:
            return None
        return self.ends_at_s if self.is_warned else self.ends_at_s - EXPIRING_S - CHECK_S

    def act(self, now_s: float) -> None:
        """Do what is due: warn the client, or end its socket."""
        if self.socket is None or self.ends_at_s is None:
            return
        if now_s >= self.ends_at_s:
            self.ends_at_s = None
            self.socket.disconnect(close=True)
        else:
            self.is_warned = True
            self.socket.emit("auth:expiring", {"exp": self.identity.expires_at_s})


class Deadlines:
    """The moments of all memberships of one endpoint. `clock` gives seconds since 1970: `exp` is measured by that."""

    def __init__(self, wheel: TimerWheel, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moments: list[tuple[float, int, Membership]] = []
        self._order = itertools.count()
        self._live = 0
        wheel.add(self, wheel.now_s + CHECK_S)

    def __len__(self) -> int:
        return len(self._moments)

    def opened(self, membership: Membership) -> None:
        """Begin to watch over a socket that was let in."""
        self._live += 1
        self.arrange(membership)

    def closed(self, membership: Membership) -> None:
        """Forget a socket that has ended."""
        self._live -= 1
        membership.socket = None
        self._tidy()

    def arrange(self, membership: Membership) -> None:
        """Look at a membership at its next moment, and no longer at the one arranged before."""
        membership.due_at_s, membership.moment = membership.next_moment_s(), next(self._order)
        if membership.due_at_s is not None:
            heapq.heappush(self._moments, (membership.due_at_s, membership.moment, membership))
            self._tidy()

    def _tidy(self) -> None:
        """Forget moments that no longer count, once they are the more: left by sockets that went or were renewed."""
        if len(self._moments) > 2 * self._live + _SLACK:
            self._moments = [entry for entry in self._moments if _is_current(entry)]
            heapq.heapify(self._moments)

    def due(self, now_s: float) -> float:
        """Called by the wheel: act on everybody whose moment has come."""
        clock_s = self._clock()
        ready: list[tuple[float, int, Membership]] = []
        while self._moments and self._moments[0][0] <= clock_s:
            ready.append(heapq.heappop(self._moments))
        for entry in ready:
            if _is_current(entry):
                membership = entry[2]
                membership.act(clock_s)
                self.arrange(membership)
        return now_s + CHECK_S


def _is_current(entry: tuple[float, int, Membership]) -> bool:
    return entry[2].socket is not None and entry[2].moment == entry[1]
