"""One Engine.IO session on the server: its identity, its heartbeat, its carrier, its end.

Owns the bond between a protocol session (`wire.engine_session`) and whatever carries it now: a polling queue or a
WebSocket. Made by the endpoint. The invariant: `close` happens once, whatever closes it, and afterwards the connection
holds nothing but its `sid`, so entries left in the timer wheel keep no memory alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sensorcast.metrics import CONNECTIONS_CLOSED
from sensorcast.transport.limits import Limits
from sensorcast.transport.wheel import TimerWheel
from sensorcast.wire.engine_session import Due, EngineSession, PeerClosed
from sensorcast.wire.engineio import PING, EnginePacket
from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Bundle, Frame

SERVER_CLOSED = "server shutting down"
PING_TIMEOUT = "ping timeout"
TRANSPORT_CLOSED = "transport close"
PROTOCOL_ERROR = "protocol error"


class Carrier(Protocol):
    """What carries a session's packets: a WebSocket or a polling queue. No method raises or waits."""

    @property
    def name(self) -> str:
        """`websocket` or `polling`."""
        ...

    @property
    def writable(self) -> bool:
        """False while earlier output is stuck; volatile events are dropped then."""
        ...

    def takes(self, frame: Frame) -> bool:
        """False when sending it now would break the hard limit, because the peer has not read what it is owed."""
        ...

    def send(self, frame: Frame) -> None:
        """Send one packet, never conflated; a peer that does not read is cut at the hard limit."""
        ...

    def deliver(self, bundle: Bundle) -> None:
        """Send a flush; conflated to the latest per key while the peer does not keep up."""
        ...

    def close(self, reason: str) -> None:
        """Say goodbye and close the transport. Idempotent."""
        ...


class MessageHandler(Protocol):
    """What stands above a connection: Socket.IO, or an application of bare Engine.IO messages."""

    @property
    def connect_by_s(self) -> float | None:
        """Lived time until which the peer must have come further, or None when it has."""
        ...

    def receive(self, message: str | bytes) -> None:
        """Take one message; raise `WireError` when the peer must go."""
        ...

    def slowed(self) -> None:
        """The peer does not keep up and has lost batches to newer ones."""
        ...

    def restored(self) -> None:
        """The peer has everything it was owed."""
        ...

    def closed(self, reason: str) -> None:
        """The connection is over. Called once."""
        ...


class Connection:
    """One session. Carriers feed it packets; the handler above sends through it."""

    __slots__ = (
        "_allowance", "_allowance_at_s", "_is_slow", "_on_close", "carrier", "engine", "handler", "limits", "sid",
        "wheel",
    )  # fmt: skip

    def __init__(
        self,
        sid: str,
        *,
        limits: Limits,
        wheel: TimerWheel,
        carrier: Carrier,
        on_close: Callable[[Connection, Carrier], None],
    ) -> None:
        self.sid = sid
        self.limits = limits
        self.wheel = wheel
        self.engine = EngineSession(limits.timing, wheel.now_s)
        self.carrier: Carrier | None = carrier
        self.handler: MessageHandler | None = None
        self._on_close = on_close
        self._is_slow = False
        """True while the handler was told that batches are lost, and not that the peer has the newest."""
        self._allowance = float(limits.events_burst)
        self._allowance_at_s = wheel.now_s

    @property
    def closed(self) -> bool:
        """True once the session is over."""
        return self.carrier is None

    def start(self, handler: MessageHandler) -> None:
        """Put `handler` above and begin the heartbeat."""
        self.handler = handler
        self.wheel.add(self, self._next_due_s())

    def _next_due_s(self) -> float:
        by_s = None if self.handler is None else self.handler.connect_by_s
        return self.engine.next_due_s if by_s is None else min(by_s, self.engine.next_due_s)

    def due(self, now_s: float) -> float | None:
        """Called by the wheel: ping, or close when an answer or the CONNECT did not come."""
        if self.carrier is None or self.handler is None:
            return None
        by_s = self.handler.connect_by_s
        action = self.engine.due(now_s)
        if by_s is not None and now_s >= by_s:
            self.close("no CONNECT in time (setting connect_timeout_ms)")
        elif action is Due.TIMEOUT:
            self.close(PING_TIMEOUT)
        elif action is Due.PING:
            self.carrier.send(PING)
        return None if self.carrier is None else self._next_due_s()

    def receive(self, packet: EnginePacket) -> None:
        """Take one packet from the carrier; a violation closes the connection."""
        try:
            message = self.engine.receive(packet, self.wheel.now_s)
            self._spend()
            if message is not None and self.handler is not None:
                self.handler.receive(message)
        except PeerClosed:
            self.close(TRANSPORT_CLOSED)
        except WireError as exc:
            self.close(f"{PROTOCOL_ERROR}: {exc}")

    def _spend(self) -> None:
        """Count one packet. Handlers refuse events beyond the rate; one that floods on, ten bursts deep, is cut."""
        now_s, limits = self.wheel.now_s, self.limits
        earned = (now_s - self._allowance_at_s) * limits.events_per_s
        self._allowance = min(float(limits.events_burst), self._allowance + earned) - 1.0
        self._allowance_at_s = now_s
        if self._allowance < -10.0 * limits.events_burst:
            raise WireError("too many packets (settings client_events_per_s, client_events_burst)")

    @property
    def over_rate(self) -> bool:
        """True while the peer sends more than its events a second allow."""
        return self._allowance < 0.0

    def takes(self, frame: Frame) -> bool:
        """False when sending it now would end the connection."""
        return self.carrier is None or self.carrier.takes(frame)

    def send(self, frame: Frame) -> None:
        """Send one packet; nothing happens once closed."""
        if self.carrier is not None:
            self.carrier.send(frame)

    def deliver(self, bundle: Bundle) -> None:
        """Send a flush; nothing happens once closed."""
        if self.carrier is not None:
            self.carrier.deliver(bundle)

    def slowed(self) -> None:
        """The carrier has lost batches to newer ones. Told once until `restored`, also when another carrier follows."""
        if self.handler is not None and not self._is_slow:
            self._is_slow = True
            self.handler.slowed()

    def restored(self) -> None:
        """The carrier has caught up: everything that waited was sent."""
        if self.handler is not None and self._is_slow:
            self._is_slow = False
            self.handler.restored()

    def close(self, reason: str) -> None:
        """End the session: transport closed, handler told, registry cleared. Only the first call counts."""
        carrier, handler = self.carrier, self.handler
        if carrier is None:
            return
        self.carrier = self.handler = None
        CONNECTIONS_CLOSED.labels(reason.partition(":")[0]).inc()
        carrier.close(reason)
        self._on_close(self, carrier)
        if handler is not None:
            handler.closed(reason)
