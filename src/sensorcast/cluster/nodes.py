"""The nodes that are there, by their beats.

Owns the list. The invariant: a node is in it from its first beat until it has been silent for `GONE_S`.

Limit: `NODES_MAX`; beats of further ones are counted (`sensorcast_bus_ignored_messages`, reason `crowd`) and ignored.
"""

from __future__ import annotations

from typing import Final, NamedTuple

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


class Gone(NamedTuple):
    """A node that is silent, when it was heard last, and whether it had said that it leaves."""

    sender: Sender
    heard_s: float
    has_left: bool


class Nodes:
    """The other nodes, and this one (`own`)."""

    def __init__(self, own: Node) -> None:
        self._own = own
        self._others: dict[Sender, tuple[Node, Gone]] = {}

    def __len__(self) -> int:
        return 1 + len(self._others)

    def beat(self, beat: Beat, now_s: float) -> bool:
        """Take note of a beat of another node; False when there are too many."""
        sender = (beat.origin, beat.epoch)
        if sender not in self._others and len(self) >= NODES_MAX:
            return False
        node = Node(name=beat.name, origin=beat.origin, since_us=beat.epoch)
        self._others[sender] = node, Gone(sender, now_s, beat.leaves)
        return True

    def excuse(self, now_s: float) -> None:
        """Nobody could be heard until now."""
        self._others |= {sender: (node, last._replace(heard_s=now_s)) for sender, (node, last) in self._others.items()}

    def expire(self, now_s: float) -> list[Gone]:
        """Strike off those that are gone, and give them."""
        gone = [last for _, last in self._others.values() if now_s - last.heard_s > GONE_S]
        for last in gone:
            del self._others[last.sender]
        return gone

    def all(self) -> list[Node]:
        """Every node, this one too, by name."""
        return sorted([self._own, *(node for node, _ in self._others.values())], key=lambda each: each.name)
