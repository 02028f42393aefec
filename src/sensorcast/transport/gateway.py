"""sensorcast's own events on the namespace `/`: tokens at CONNECT, the organization room, `get:latest`, subscriptions.

Owns what a client may ask of the stream. The invariants: everything a client names is looked up under the organization
its token proved, so another organization's unit answers exactly as an unknown one; every handler is harmless with any
arguments and without an acknowledgement; a socket does not outlive its token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from sensorcast.errors import NotFound, QuotaExceeded, SensorcastError, Unauthenticated
from sensorcast.model import Identity, Room, is_valid_id
from sensorcast.settings import Settings
from sensorcast.stream import SensorStream
from sensorcast.stream.outgoing import UnitReading, readings_json, time_text, unit_reading
from sensorcast.stream.rates import Rate
from sensorcast.transport.following import follow, unfollow, wanted_rate
from sensorcast.transport.namespace import ConnectRefused, Namespace
from sensorcast.transport.server import SocketServer
from sensorcast.transport.socket import Socket

EXPIRY_CHECK_S: Final = 2.0
"""How late after its token's end a socket is cut at most, give or take a tick of the wheel."""
EXPIRY_CHECK_MAX_S: Final = 60.0
"""Longest time between two looks: an entry outlives its socket in the wheel by so much, and the wall clock may jump."""


class Verifier(Protocol):
    """Proves a token; `auth.TokenVerifier` is one."""

    def verify(self, token: str, *, now_s: float, organization_id: str | None = None) -> Identity: ...


class Gateway:
    """Connects a stream to the sockets of one server. `clock` gives seconds since 1970."""

    def __init__(
        self,
        server: SocketServer,
        *,
        stream: SensorStream,
        verifier: Verifier,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self.namespace = server.namespace("/")
        self.connections: Counter[str] = Counter()
        """Sockets of each organization on this node; keys leave with their last socket."""
        self._wheel = server.endpoint.wheel
        self._stream = stream
        self._verifier = verifier
        self._settings = settings
        self._flush_interval_s = settings.flush_interval_ms / 1_000
        self._clock = clock
        self._register(self.namespace)

    def _register(self, namespace: Namespace) -> None:
        namespace.use(self._authenticate)
        namespace.on_connect(self._connected)
        namespace.on_disconnect(self._disconnected)
        namespace.on_slowed(self._slowed)
        namespace.on_restored(self._restored)
        namespace.on("get:latest")(self._get_latest)
        namespace.on("get:latest:all")(self._get_latest_all)
        namespace.on("ping")(self._ping)
        for kind, room in (("unit", Room.unit), ("site", Room.site), ("organization", _organization_room)):
            namespace.on(f"subscribe:{kind}")(_guarded(self._subscribe, room))
            namespace.on(f"unsubscribe:{kind}")(_guarded(self._unsubscribe, room))

    # CONNECT

    def _authenticate(self, socket: Socket, auth: dict[str, Any]) -> None:
        try:
            identity = self._identify(auth)
            rate = wanted_rate(auth, self._flush_interval_s)
            if self.connections[identity.organization_id] >= self._settings.connections_per_organization:
                raise QuotaExceeded("too many connections of this organization (setting connections_per_organization)")
        except SensorcastError as exc:
            raise ConnectRefused(exc.message, {"code": exc.code}) from exc
        socket.data = Membership(
            socket,
            identity,
            rate=None if auth.get("stream") == "units" else rate,
            ends_at_s=self._ends_at_s(identity),
            clock=self._clock,
        )

    def _ends_at_s(self, identity: Identity) -> float | None:
        """When the socket must end: with its token, or with the leeway for one that was accepted within it."""
        ends_at_s = identity.expires_at_s
        if ends_at_s is None or ends_at_s > self._clock():
            return ends_at_s
        return ends_at_s + self._settings.jwt_leeway_s

    def _identify(self, auth: dict[str, Any]) -> Identity:
        token, organization_id = auth.get("token"), auth.get("organizationId")
        if not isinstance(token, str) or not token:
            raise Unauthenticated("a token is required: connect with auth {token}")
        if organization_id is not None and not is_valid_id(organization_id):
            raise Unauthenticated("organizationId must be the id of one of the token's organizations")
        return self._verifier.verify(token, now_s=self._clock(), organization_id=organization_id)

    def _connected(self, socket: Socket) -> None:
        membership: Membership = socket.data
        self.connections[membership.identity.organization_id] += 1
        if membership.rate is not None:
            self._follow(socket, Room.organization(membership.identity), membership.rate)
        self._wheel.add(membership, self._wheel.now_s + EXPIRY_CHECK_S)
        socket.emit("connection:ack", {"socketId": socket.id, "timestamp": self._now_text()})

    def _disconnected(self, socket: Socket, _reason: str) -> None:
        membership: Membership = socket.data
        membership.end()
        organization_id = membership.identity.organization_id
        self.connections[organization_id] -= 1
        if not self.connections[organization_id]:
            del self.connections[organization_id]

    # Slow clients

    def _slowed(self, socket: Socket) -> None:
        """Tell a client, once, that from now on it gets only the newest batch of each unit."""
        membership: Membership = socket.data
        membership.slow_since = self._now_text()
        socket.emit("stream:degraded", {"since": membership.slow_since})

    def _restored(self, socket: Socket) -> None:
        """Tell it that it has caught up: the newest batch of every unit was sent before this.

        What it missed in between is in the history from `since` to `until`.
        """
        membership: Membership = socket.data
        socket.emit("stream:restored", {"since": membership.slow_since, "until": self._now_text()})
        membership.slow_since = None

    def _now_text(self) -> str:
        return time_text(round(self._clock() * 1_000_000))

    # Requests

    def _get_latest(self, socket: Socket, unit_id: Any = None, *_ignored: Any) -> UnitReading | None:
        if not is_valid_id(unit_id):
            return None
        reading = self._stream.get_latest_reading(socket.data.identity.organization_id, unit_id)
        return None if reading is None else unit_reading(reading)

    def _get_latest_all(self, socket: Socket, *_ignored: Any) -> msgspec.Raw:
        # Encoded by its one home at once: thousands of readings must not be searched for bytes one by one.
        return msgspec.Raw(readings_json(self._stream.latest_of(socket.data.identity.organization_id)))

    def _ping(self, _socket: Socket, *_ignored: Any) -> int:
        return round(self._clock() * 1_000)

    def _subscribe(self, socket: Socket, room: Room, options: Any) -> dict[str, Any]:
        rate = wanted_rate(options, self._flush_interval_s)
        self._follow(socket, room, rate)
        if not isinstance(options, Mapping):
            return {"ok": True}
        return {"ok": True, "rateHz": round(rate.rate_hz(self._flush_interval_s), 6), "mode": rate.mode}

    def _follow(self, socket: Socket, room: Room, rate: Rate) -> None:
        organization_room = Room.organization(socket.data.identity)
        follow(socket, room, rate, organization_room=organization_room, rooms_max=self._settings.rooms_per_socket)

    def _unsubscribe(self, socket: Socket, room: Room, _options: Any) -> dict[str, Any]:
        unfollow(socket, room, organization_room=Room.organization(socket.data.identity))
        return {"ok": True}


def _organization_room(identity: Identity, organization_id: str) -> Room:
    if organization_id != identity.organization_id:
        raise NotFound("no such organization")
    return Room.organization(identity)


def _guarded(
    act: Callable[[Socket, Room, Any], dict[str, Any]], room_of: Callable[[Identity, str], Room]
) -> Callable[..., dict[str, Any]]:
    """Make an event handler of `act`: checks the id, and turns our errors into `{ok: false, error}`."""

    def handler(socket: Socket, wanted: Any = None, options: Any = None, *_ignored: Any) -> dict[str, Any]:
        try:
            if not is_valid_id(wanted):
                raise NotFound("an id is 1-128 of A-Z a-z 0-9 _ . : -")
            return act(socket, room_of(socket.data.identity, wanted), options)
        except SensorcastError as exc:
            return {"ok": False, "error": {"code": exc.code, "message": exc.message}}

    return handler


class Membership:
    """What a socket is in its organization, and until when; an entry of the timer wheel."""

    __slots__ = ("_clock", "_ends_at_s", "_socket", "identity", "rate", "slow_since")

    def __init__(
        self,
        socket: Socket,
        identity: Identity,
        *,
        rate: Rate | None,
        ends_at_s: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.identity = identity
        self.rate = rate
        """At which it asked for its whole organization at CONNECT; None when it did not."""
        self._socket: Socket | None = socket
        self._clock = clock
        self._ends_at_s = ends_at_s
        self.slow_since: str | None = None
        """When the client began to lose batches to newer ones; None while it keeps up."""

    def end(self) -> None:
        """Let go of the socket, so that the wheel, which keeps this entry a while, keeps nothing else."""
        self._socket = None

    def due(self, now_s: float) -> float | None:
        """Called by the wheel: end the socket when its token has ended.

        The wall clock decides, for that is what `exp` is measured by; the wheel only says when to look.
        """
        if self._ends_at_s is None or self._socket is None:
            return None
        left_s = self._ends_at_s - self._clock()
        if left_s > 0:
            return now_s + min(max(EXPIRY_CHECK_S, left_s / 2), EXPIRY_CHECK_MAX_S)
        self._socket.disconnect(close=True)
        return None
