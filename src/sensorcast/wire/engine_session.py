"""One Engine.IO session as a state machine: heartbeat, upgrade, end. No I/O; time is passed in, in seconds.

Owns which packet is allowed when, and when the next thing is due. The invariant: a session that is not answered to is
over at `ping_timeout_s` after its ping, a probe at `upgrade_timeout_s`, and nothing happens after CLOSED.
"""

from __future__ import annotations

from enum import Enum, auto

from sensorcast.wire.engineio import EnginePacket, PacketType, Timing
from sensorcast.wire.errors import WireError


class Due(Enum):
    """What the time has brought."""

    NOTHING = auto()
    PING = auto()
    """Send a ping now."""
    TIMEOUT = auto()
    """No answer to the last ping: close."""


class EngineSession:
    """Heartbeat and packet order of one session. Call `due(now_s)` at or after `next_due_s`."""

    __slots__ = ("_awaiting_pong", "_ping_at_s", "_pong_by_s", "timing")

    def __init__(self, timing: Timing, now_s: float) -> None:
        self.timing = timing
        self._awaiting_pong = False
        self._ping_at_s = now_s + timing.ping_interval_s
        self._pong_by_s = 0.0

    @property
    def next_due_s(self) -> float:
        """The time at which `due` should be asked next."""
        if self._awaiting_pong:
            # A pong may come at any moment, and the ping after it can be due before the deadline.
            return min(self._pong_by_s, self._ping_at_s)
        return self._ping_at_s

    def due(self, now_s: float) -> Due:
        """Advance to `now_s` and say what is to be done."""
        if self._awaiting_pong:
            if now_s >= self._pong_by_s:
                return Due.TIMEOUT
            self._ping_at_s = max(self._ping_at_s, now_s + self.timing.ping_interval_s)
            return Due.NOTHING
        if now_s < self._ping_at_s:
            return Due.NOTHING
        self._awaiting_pong = True
        self._pong_by_s = now_s + self.timing.ping_timeout_s
        self._ping_at_s = now_s + self.timing.ping_interval_s
        return Due.PING

    def receive(self, packet: EnginePacket, now_s: float) -> str | bytes | None:
        """Take one packet from the peer; return the message in it, if any.

        Raises `WireError` for a packet a client may not send, and `PeerClosed` for a close packet.
        """
        match packet.kind:
            case PacketType.MESSAGE:
                return packet.data
            case PacketType.PONG:
                self._awaiting_pong = False
                self._ping_at_s = now_s + self.timing.ping_interval_s
            case PacketType.CLOSE:
                raise PeerClosed("closed by the peer")
            case PacketType.NOOP:
                pass
            case PacketType.OPEN | PacketType.PING | PacketType.UPGRADE:
                raise WireError(f"unexpected Engine.IO packet: {packet.kind.name.lower()}")
        return None


class PeerClosed(WireError):
    """The peer sent the close packet: not a fault, but the session is over."""


class Probe(Enum):
    """Where a WebSocket stands that asked to take over a polling session."""

    WAITING = auto()
    """Nothing received yet; the first packet must be `2probe`."""
    ANSWERED = auto()
    """`3probe` sent; the next packet must be `5`."""
    DONE = auto()
    """The session is carried by this WebSocket now."""

    def receive(self, packet: EnginePacket) -> Probe:
        """Take a packet on the probing WebSocket and give the next state; raise `WireError` for any other order."""
        if self is Probe.WAITING and packet == EnginePacket(PacketType.PING, "probe"):
            return Probe.ANSWERED
        if self is Probe.ANSWERED and packet.kind is PacketType.UPGRADE:
            return Probe.DONE
        raise WireError("unexpected packet while upgrading")
