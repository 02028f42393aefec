"""An Engine.IO endpoint: who may open a session, which sessions are open, and their common clock.

Owns the registry of connections at one path and the timer wheel of their heartbeats; carriers ask it before anything is
allocated for a peer. The invariants: every session in the registry has a running deadline, a refused handshake leaves
nothing behind, and after `close_all` no new one opens.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from sensorcast.addresses import Proxies
from sensorcast.metrics import CONNECTIONS, CONNECTIONS_OPENED, HANDSHAKES_REFUSED, OUTBOUND_BYTES
from sensorcast.rate import TokenBucket
from sensorcast.transport import origin as origins
from sensorcast.transport.connection import SERVER_CLOSED, Carrier, Connection, MessageHandler
from sensorcast.transport.limits import Limits
from sensorcast.transport.outbound import OutboundHalf
from sensorcast.transport.polling import PollingCarrier
from sensorcast.transport.wheel import TimerWheel
from sensorcast.wire.engineio import (
    BAD_REQUEST,
    FORBIDDEN_ORIGIN,
    UNKNOWN_SESSION,
    Refusal,
    check_query,
    open_frame,
)
from sensorcast.wire.frame import Bundle

_REPORT_S: Final = 1.0
_SID_BYTES: Final = 15
"""120 random bits: a session id is a credential while polling."""

_OPEN: Final = {name: CONNECTIONS.labels(name) for name in ("websocket", "polling")}

_PROTOCOL_QUERY: Final = frozenset({"EIO", "transport", "sid", "t", "b64"})
"""Parameters of Engine.IO itself, which every client sends and no application needs."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

CLOSING: Final = Refusal(503, 3, "Server is shutting down")
TOO_MANY: Final = Refusal(503, 3, "Too many connections (setting connections_max, or 80 % of the file descriptors)")
TOO_FAST: Final = Refusal(503, 3, "Too many handshakes a second (setting handshakes_per_s)")


class Handshake(msgspec.Struct, frozen=True):
    """What is known of a peer from its first request: address, the application's own query, and the kept headers."""

    address: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Endpoint:
    """Sessions at one path. `open_handler` puts an application above each new connection."""

    def __init__(
        self,
        path: str,
        open_handler: Callable[[Connection, Handshake], MessageHandler],
        *,
        limits: Limits,
        kept_headers: tuple[str, ...] = (),
        sid_prefix: str = "",
        new_sid: Callable[[], str] = lambda: secrets.token_urlsafe(_SID_BYTES),
    ) -> None:
        self.path = path if path.endswith("/") else path + "/"
        self.limits = limits
        self.connections: dict[str, Connection] = {}
        self.outbound_bytes = 0
        """Bytes written since the last report to the metrics; a plain integer, because it is touched per delivery."""
        self.owing: set[OutboundHalf | PollingCarrier] = set()
        """Carriers whose peers have not taken everything: the only ones that bounds of outbound memory look at."""
        timing = limits.timing
        self.wheel = TimerWheel(
            min(timing.ping_interval_s, timing.ping_timeout_s, timing.connect_timeout_s, timing.upgrade_timeout_s)
        )
        self.proxies = Proxies(limits.trusted_proxies)
        self._open_handler = open_handler
        self._kept_headers = kept_headers
        self._sid_prefix = sid_prefix
        self._new_sid = new_sid
        self._ceiling = limits.connection_ceiling()
        self._handshakes = TokenBucket(limits.handshakes_per_s, limits.handshakes_per_s, 0.0)
        self._accepting = True

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to take connections and to count their time."""
        self._accepting = True
        self.wheel.start(loop)
        self.wheel.add(self, self.wheel.now_s + _REPORT_S)

    def due(self, now_s: float) -> float:
        """Called by the wheel: hand the counted bytes to the metrics."""
        OUTBOUND_BYTES.inc(self.outbound_bytes)
        self.outbound_bytes = 0
        return now_s + _REPORT_S

    def stop_accepting(self) -> None:
        """Refuse new sessions with 503 from now on."""
        self._accepting = False

    def close_all(self) -> None:
        """Close every transport (no Socket.IO DISCONNECT, so stock clients reconnect) and stop the clock."""
        self.stop_accepting()
        for connection in list(self.connections.values()):
            connection.close(SERVER_CLOSED)
        self.wheel.stop()

    def refusal(
        self, query: Mapping[str, str], transport: str, method: str, *, origin: str | None, host: str | None
    ) -> Refusal | None:
        """Say why a request may not go on, or None. Counts a handshake that may."""
        refused = self._checked(query, transport, method, origin=origin, host=host)
        if refused is not None:
            HANDSHAKES_REFUSED.labels(str(refused.status)).inc()
        return refused

    def _checked(
        self, query: Mapping[str, str], transport: str, method: str, *, origin: str | None, host: str | None
    ) -> Refusal | None:
        refused = check_query(query, transport, method)
        if refused is not None:
            return refused
        if not self.is_allowed_origin(origin, host):
            return FORBIDDEN_ORIGIN
        sid = query.get("sid")
        return self._admission() if sid is None else self._session(sid, transport)

    def is_allowed_origin(self, origin: str | None, host: str | None) -> bool:
        """Tell whether a page of `origin` may use this endpoint at `host`."""
        return origins.is_allowed(origin, host, self.limits.allowed_origins)

    def _session(self, sid: str, transport: str) -> Refusal | None:
        connection = self.connections.get(sid)
        if connection is None:
            return UNKNOWN_SESSION
        carrier = connection.carrier
        if not isinstance(carrier, PollingCarrier):
            return BAD_REQUEST
        if transport == "websocket" and carrier.upgrading:
            return BAD_REQUEST
        return None

    def _admission(self) -> Refusal | None:
        if not self._accepting:
            return CLOSING
        if len(self.connections) >= self._ceiling:
            return TOO_MANY
        return TOO_FAST if self._handshakes.take(self.wheel.now_s) else None

    def open(
        self, carrier: Carrier, *, address: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Connection:
        """Open a session on `carrier` that `refusal` let through: registry, handshake packet, heartbeat."""
        sid = self._sid_prefix + self._new_sid()
        connection = Connection(sid, limits=self.limits, wheel=self.wheel, carrier=carrier, on_close=self._forget)
        self.connections[sid] = connection
        CONNECTIONS_OPENED.inc()
        _OPEN[carrier.name].inc()
        upgrades = ("websocket",) if carrier.name == "polling" else ()
        carrier.send(open_frame(sid, upgrades, self.limits.timing))
        kept = {name: headers[name] for name in self._kept_headers if name in headers}
        own = {name: value for name, value in query.items() if name not in _PROTOCOL_QUERY}
        try:
            connection.start(self._open_handler(connection, Handshake(address, own or _NOTHING, kept or _NOTHING)))
        except BaseException:
            connection.close("failed to open")
            raise
        return connection

    def _forget(self, connection: Connection, carrier: Carrier) -> None:
        self.connections.pop(connection.sid, None)
        _OPEN[carrier.name].dec()

    def begin_upgrade(self, connection: Connection) -> bool:
        """Let the polling of `connection` come to rest: a WebSocket has proven that it gets through.

        False when the session has ended, or another WebSocket is about to carry it or does.
        """
        polling = connection.carrier
        if not isinstance(polling, PollingCarrier) or polling.upgrading:
            return False
        polling.begin_upgrade()
        return True

    def cancel_upgrade(self, connection: Connection) -> None:
        """The probing WebSocket is gone; polling goes on."""
        if isinstance(connection.carrier, PollingCarrier):
            connection.carrier.cancel_upgrade()

    def upgrade(self, connection: Connection, carrier: Carrier) -> bool:
        """Let `carrier`, whose probe is done, carry `connection` from now on; what polling still owed goes first.

        False when the session has ended or has a WebSocket already: nothing was changed.
        """
        polling = connection.carrier
        if not isinstance(polling, PollingCarrier):
            return False
        connection.carrier = carrier
        _OPEN[polling.name].dec()
        _OPEN[carrier.name].inc()
        carrier.deliver(Bundle(polling.finish_upgrade()))
        if carrier.writable:  # otherwise what waits here is sent before the peer is told that it has all
            connection.restored()
        return True
