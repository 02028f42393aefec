"""A bus between nodes of one process that loses, delays and repeats messages when a test says so.

It keeps the contract of `cluster.Bus` otherwise: `tests/cluster/test_air.py` runs it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection

from sensorcast.cluster import Ears

Fault = Callable[[str, bytes], bool]
"""Whether a fault happens to this message on this channel."""


def never(_channel: str, _message: bytes) -> bool:
    """No fault."""
    return False


class Air:
    """What the nodes of one cluster share."""

    def __init__(self) -> None:
        self.buses: list[AirBus] = []
        self.loses: Fault = never
        self.repeats: Fault = never
        self.delay_s = 0.0
        self.question_s: float | None = None
        """How long it takes to find out whether anybody listens; None: every node knows."""
        self.said: list[tuple[str, bytes]] = []
        """Everything that was published, lost or not."""

    def bus(self, *, echoes: bool = True) -> AirBus:
        """The bus of another node."""
        return AirBus(self, echoes=echoes)

    def carry(self, speaker: AirBus, channel: str, message: bytes) -> None:
        """Bring a message to everybody, or not."""
        self.said.append((channel, message))
        if self.loses(channel, message):
            return
        loop = asyncio.get_running_loop()
        for _ in range(2 if self.repeats(channel, message) else 1):
            for bus in self.buses:
                if (bus is not speaker or bus.echoes) and self._reaches(bus, channel):
                    # One queue for all times: a later message never overtakes an earlier one, not even one of the same
                    # moment, which the timers of a loop may.
                    bus.under_way.append((channel, message))
                    loop.call_later(self.delay_s, bus.bring_next)

    def _reaches(self, bus: AirBus, channel: str) -> bool:
        """Where it is asked who listens, a message is for those who do so when it is said, as in Redis."""
        return self.question_s is None or channel in bus._channels


class AirBus:
    """One node's access to it. `cut` makes it deaf and dumb, `mend` brings it back."""

    tells_ends = False

    def __init__(self, air: Air, *, echoes: bool) -> None:
        self.echoes = echoes
        self.under_way: deque[tuple[str, bytes]] = deque()
        self._air = air
        self._ears: Ears | None = None
        self._channels: dict[str, None] = {}
        self._reason: str | None = None

    async def start(self, ears: Ears) -> None:
        self._ears = ears
        self._air.buses.append(self)
        self._announce(list(self._channels))

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self._ears = None
        if self in self._air.buses:
            self._air.buses.remove(self)

    def publish(self, channel: str, message: bytes) -> None:
        if self._ears is not None and self._reason is None:
            self._air.carry(self, channel, message)

    def is_heard(self, channel: str) -> bool:
        return self._air.question_s is not None or self._has_listeners(channel)

    async def unheard(self, channels: Collection[str]) -> Collection[str]:
        if self._air.question_s is None or self._reason is not None:
            return ()
        await asyncio.sleep(self._air.question_s / 2)
        found = [channel for channel in channels if channel not in self._channels and not self._has_listeners(channel)]
        await asyncio.sleep(self._air.question_s / 2)
        return found

    def _has_listeners(self, channel: str) -> bool:
        return any(channel in bus._channels for bus in self._air.buses if bus is not self)

    def listen(self, channel: str) -> None:
        if channel not in self._channels:
            self._channels[channel] = None
            self._announce([channel])

    def unlisten(self, channel: str) -> None:
        self._channels.pop(channel, None)

    def trouble(self) -> str | None:
        return self._reason

    def cut(self) -> None:
        """Lose the connection."""
        self._reason = "cut off"
        if self._ears is not None:
            self._ears.deaf(self._reason)

    def mend(self) -> None:
        """Have it back."""
        self._reason = None
        self._announce(list(self._channels))

    def bring_next(self) -> None:
        """The first message that is under way has come as far as this node."""
        self.bring(*self.under_way.popleft())

    def bring(self, channel: str, message: bytes) -> None:
        """A message has come as far as this node."""
        if self._ears is not None and self._reason is None and channel in self._channels:
            self._ears.heard(channel, message)

    def _announce(self, channels: list[str]) -> None:
        if self._ears is not None and self._reason is None:
            asyncio.get_running_loop().call_soon(self._listening, channels)

    def _listening(self, channels: list[str]) -> None:
        for channel in channels:
            if self._ears is not None and self._reason is None and channel in self._channels:
                self._ears.listening(channel)
