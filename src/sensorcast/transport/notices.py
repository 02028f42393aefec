"""`stream:degraded` and `stream:restored` for whole organizations: when this node cannot hear what others take in.

Owns what their sockets were told. The invariants: each `stream:degraded` is followed by one `stream:restored` with the
same `since`, and that comes only after flushes have carried what was repaired; what is told to many costs one look at
each socket, however many organizations it is about.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from sensorcast import strict_json
from sensorcast.stream.outgoing import time_text
from sensorcast.transport.membership import Membership
from sensorcast.transport.namespace import Namespace
from sensorcast.transport.socket import Socket

TOGETHER_S: Final = 0.1
"""Time in which notices wait for each other: a node that is cut off has one for every organization."""
FLUSHES_AFTER_REPAIR: Final = 2
"""The readings of a unit that comes in at several nodes may stay for the second flush."""


class _Restored(NamedTuple):
    since_us: int
    until_us: int
    due_s: float


class Notices:
    """Tells the sockets of a namespace. A repair is told once the flushes that carry it are over."""

    def __init__(self, namespace: Namespace, flush_interval_s: float) -> None:
        self._namespace = namespace
        self._after_repair_s = FLUSHES_AFTER_REPAIR * flush_interval_s
        self._since_us: dict[str, int] = {}
        self._degraded: set[str] = set()
        self._restored: dict[str, _Restored] = {}
        self._timer: asyncio.TimerHandle | None = None

    def degraded(self, organization_id: str, since_us: int) -> None:
        """Live readings of an organization may have holes since then."""
        repaired = self._restored.pop(organization_id, None)
        if repaired is None:
            self._since_us[organization_id] = since_us
            self._degraded.add(organization_id)
            self._arrange()

    def restored(self, organization_id: str, until_us: int) -> None:
        """From then on they have none; harmless for an organization that was not degraded."""
        since_us = self._since_us.get(organization_id)
        if since_us is not None:
            due_s = asyncio.get_running_loop().time() + self._after_repair_s
            self._restored[organization_id] = _Restored(since_us, until_us, due_s)
            self._arrange()

    def greet(self, socket: Socket) -> None:
        """Tell a socket that is new, or has been told otherwise, if its organization is degraded."""
        membership: Membership = socket.data
        organization_id = membership.identity.organization_id
        since_us = self._since_us.get(organization_id)
        if since_us is not None and organization_id not in self._degraded:  # or it is told in a moment, with the others
            socket.emit_json("stream:degraded", _degraded(since_us))

    def _arrange(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOGETHER_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        due = {each: self._restored[each] for each in list(self._restored) if self._restored[each].due_s <= now_s}
        for organization_id in due:
            del self._restored[organization_id], self._since_us[organization_id]
        # Whoever is degraded and restored within one moment is told both, in this order.
        degraded = {
            each: _degraded(due[each].since_us if each in due else self._since_us[each]) for each in self._degraded
        }
        restored = {organization_id: _restored_json(each) for organization_id, each in due.items()}
        self._degraded.clear()
        for socket in list(self._namespace.sockets.values()):
            self._tell_one(socket, degraded, restored)
        if self._restored:
            self._arrange()

    def _tell_one(self, socket: Socket, degraded: dict[str, bytes], restored: dict[str, bytes]) -> None:
        membership: Membership = socket.data
        organization_id = membership.identity.organization_id
        if organization_id in degraded:
            socket.emit_json("stream:degraded", degraded[organization_id])
        if organization_id in restored:
            socket.emit_json("stream:restored", restored[organization_id])
            if membership.slow_since is not None:  # restored in this respect, and still slow
                socket.emit("stream:degraded", slow_notice(membership.slow_since))


def slow_notice(since: str) -> dict[str, str]:
    """What a client is told that does not keep up; this node hears the others."""
    return {"since": since, "reason": "slow"}


def _degraded(since_us: int) -> bytes:
    return strict_json.encode({"since": time_text(since_us), "reason": "bus"})


def _restored_json(each: _Restored) -> bytes:
    return strict_json.encode({"since": time_text(each.since_us), "until": time_text(each.until_us)})
