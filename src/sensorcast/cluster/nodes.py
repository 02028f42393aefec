"""The nodes that are there, by their beats.

Owns the list. The invariants: a node is in it from its first beat until it has been silent for `GONE_S`; a beat counts
once, so that recorded ones keep nobody in it.

Limit: `NODES_MAX`, and as many that are gone, of which the oldest are forgotten. Beats of further ones are counted
(`sensorcast_bus_ignored_messages`, reason `crowd`) and ignored.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal, NamedTuple

import msgspec

from sensorcast.cluster.gaps import Sender
from sensorcast.wire.bus import Beat

GONE_S: Final = 5.0
"""Five beats: a node that misses so many has ended, or is cut off."""
NODES_MAX: Final = 1_000

Refusal = Literal["replayed", "stale", "crowd"]


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


class _There(NamedTuple):
    """A node that is heard, and what its last beat said."""

    node: Node
    number: int
    heard_s: float
    has_left: bool


class Nodes:
    """The other nodes, and this one (`own`).

    `remembered_s`: for how long a beat may pass for a fresh one after it was heard.
    """

    def __init__(self, own: Node, remembered_s: float) -> None:
        self._own = own
        self._remembered_s = remembered_s
        self._others: dict[Sender, _There] = {}
        self._past: OrderedDict[Sender, tuple[int, float]] = OrderedDict()
        """Numbers of the last beats of nodes that are gone, and until when they are remembered."""

    def __len__(self) -> int:
        return 1 + len(self._others)

    def beat(self, beat: Beat, now_s: float, *, is_fresh: bool) -> Refusal | None:
        """Take note of a beat of another node; otherwise say why not."""
        sender = (beat.origin, beat.epoch)
        there = self._others.get(sender)
        last_number = there.number if there is not None else self._past.get(sender, (0, 0.0))[0]
        if beat.number <= last_number:
            return "replayed"
        if there is None and not is_fresh:
            return "stale"
        if there is None and len(self) >= NODES_MAX:
            return "crowd"
        node = Node(name=beat.name, origin=beat.origin, since_us=beat.epoch)
        self._others[sender] = _There(node, beat.number, now_s, beat.leaves)
        return None

    def excuse(self, now_s: float) -> None:
        """Nobody could be heard until now."""
        self._others = {sender: there._replace(heard_s=now_s) for sender, there in self._others.items()}

    def expire(self, now_s: float) -> list[Gone]:
        """Strike off those that are gone, and give them."""
        silent = {sender: there for sender, there in self._others.items() if now_s - there.heard_s > GONE_S}
        for sender, there in silent.items():
            del self._others[sender]
            self._past[sender] = there.number, now_s + self._remembered_s
            self._past.move_to_end(sender)
        while self._past and (len(self._past) > NODES_MAX or next(iter(self._past.values()))[1] <= now_s):
            self._past.popitem(last=False)
        return [Gone(sender, there.heard_s, there.has_left) for sender, there in silent.items()]

    def all(self) -> list[Node]:
        """Every node, this one too, by name."""
        return sorted([self._own, *(there.node for there in self._others.values())], key=lambda each: each.name)
