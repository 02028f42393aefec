"""The nodes that are there, by their beats.

Owns the list. The invariant: a node is in it from its first beat until it has been silent for `GONE_S`.

Limit: `NODES_MAX`; beats of further ones are counted (`sensorcast_bus_ignored_messages`, reason `crowd`) and ignored.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sensorcast.cluster.gaps import Sender
from sensorcast.wire.bus import Beat

GONE_S: Final = 5.0
"""Five beats: a node that misses so many has ended, or is cut off."""
NODES_MAX: Final = 1_000


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as others see it."""

    name: str
    origin: str
    """Unlike its name it is surely no other's, and another one after each start."""
    since_us: int
    """When it began, in microseconds since 1970, by its own clock."""
    is_self: bool = False


class Nodes:
    """The other nodes, and this one (`own`)."""

    def __init__(self, own: Node) -> None:
        self._own = own
        self._others: dict[Sender, tuple[Node, float]] = {}

    def __len__(self) -> int:
        return 1 + len(self._others)

    def beat(self, beat: Beat, now_s: float) -> bool:
        """Take note of a beat of another node; False when there are too many."""
        sender = (beat.origin, beat.epoch)
        if sender not in self._others and len(self) >= NODES_MAX:
            return False
        self._others[sender] = Node(name=beat.name, origin=beat.origin, since_us=beat.epoch), now_s
        return True

    def expire(self, now_s: float) -> list[Sender]:
        """Strike off those that are gone, and give them."""
        gone = [sender for sender, (_, heard_s) in self._others.items() if now_s - heard_s > GONE_S]
        for sender in gone:
            del self._others[sender]
        return gone

    def all(self) -> list[Node]:
        """Every node, this one too, by name."""
        return sorted([self._own, *(node for node, _ in self._others.values())], key=lambda each: each.name)
