"""sensorcast's own events on the namespace `/`: the organization room, `get:latest`, subscriptions.

Owns what a client may ask of the stream; who it is, is `admission`. The invariants: everything a client names is looked
up under the organization its token proved, so another organization's unit answers exactly as an unknown one; every
handler is harmless with any arguments and without an acknowledgement.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from sensorcast import strict_json
from sensorcast.errors import NotFound, SensorcastError
from sensorcast.model import Identity, Room, is_valid_id
from sensorcast.quotas import Quotas
from sensorcast.settings import Settings
from sensorcast.stream import SensorStream
from sensorcast.stream.outgoing import UnitReading, time_text, unit_reading
from sensorcast.stream.rates import Rate
from sensorcast.transport.admission import Admission, Authenticator
from sensorcast.transport.following import follow, unfollow, wanted_rate
from sensorcast.transport.latest_answers import LatestAnswers
from sensorcast.transport.membership import Membership
from sensorcast.transport.namespace import ConnectRefused, Namespace
from sensorcast.transport.notices import Notices, slow_notice
from sensorcast.transport.server import SocketServer
from sensorcast.transport.socket import Socket

_T = TypeVar("_T")


class Cluster(Protocol):
    """Brings readings of other nodes, of the organizations that are followed here; `cluster.relay.Relay` is one."""

    def follow(self, organization_id: str) -> None:
        """The first socket of an organization is here."""
        ...

    def unfollow(self, organization_id: str) -> None:
        """The last one has ended."""
        ...

    def is_whole(self, organization_id: str) -> bool:
        """Whether its latest readings are all known here."""
        ...

    async def followed(self, organization_id: str) -> None:
        """Wait until they are, for a bounded time."""
        ...


class Gateway:
    """Connects a stream to the sockets of one server. `clock` gives seconds since 1970."""

    def __init__(
        self,
        server: SocketServer,
        *,
        stream: SensorStream,
        authenticator: Authenticator,
        settings: Settings,
        clock: Callable[[], float],
        quotas: Quotas | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        """Without a `cluster`, what the stream knows is all there is."""
        self.namespace = server.namespace("/")
        self.admission = Admission(
            self.namespace, server.endpoint.wheel, authenticator=authenticator, settings=settings, clock=clock
        )
        self._stream = stream
        self._latest_answers = LatestAnswers(stream)
        self._quotas = quotas or Quotas(settings, clock)
        self._settings = settings
        self._flush_interval_s = settings.flush_interval_ms / 1_000
        self._clock = clock
        self._cluster = cluster
        self.notices = Notices(self.namespace, self._flush_interval_s)
        self._register(self.namespace)

    def _register(self, namespace: Namespace) -> None:
        namespace.use(self._prepare)
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

    def _prepare(self, socket: Socket, auth: dict[str, Any]) -> None:
        membership: Membership = socket.data
        try:
            rate = wanted_rate(auth, self._flush_interval_s)
            self._quotas.check_subscription(membership.identity.organization_id)
        except SensorcastError as exc:
            raise ConnectRefused(exc.message, {"code": exc.code}) from exc
        membership.rate = None if auth.get("stream") == "units" else rate

    def _connected(self, socket: Socket) -> None:
        membership: Membership = socket.data
        if membership.rate is not None:
            self._follow(socket, Room.organization(membership.identity), membership.rate)
        greeting = {"socketId": socket.id, "timestamp": self._now_text()}
        socket.emit_json("connection:ack", strict_json.encode(greeting))
        if self._cluster is not None:
            organization_id = membership.identity.organization_id
            self.notices.greet(socket)
            if self.admission.connections[organization_id] == 1:
                self._cluster.follow(organization_id)

    def _disconnected(self, socket: Socket, _reason: str) -> None:
        self._count_rooms(socket, 0)
        membership: Membership = socket.data
        if self._cluster is not None and membership.identity.organization_id not in self.admission.connections:
            self._cluster.unfollow(membership.identity.organization_id)

    # Slow clients

    def _slowed(self, socket: Socket) -> None:
        """Tell a client, once, that from now on it gets only the newest batch of each unit."""
        membership: Membership = socket.data
        membership.slow_since = self._now_text()
        socket.emit("stream:degraded", slow_notice(membership.slow_since))

    def _restored(self, socket: Socket) -> None:
        """Tell it that it has caught up: the newest batch of every unit was sent before this.

        What it missed in between is in the history from `since` to `until`.
        """
        membership: Membership = socket.data
        socket.emit("stream:restored", {"since": membership.slow_since, "until": self._now_text()})
        membership.slow_since = None
        self.notices.greet(socket)

    def _now_text(self) -> str:
        return time_text(round(self._clock() * 1_000_000))

    # Requests

    def _get_latest(
        self, socket: Socket, unit_id: Any = None, *_ignored: Any
    ) -> UnitReading | Awaitable[UnitReading | None] | None:
        if not is_valid_id(unit_id):
            return None
        return self._when_whole(socket, lambda organization_id: self._latest(organization_id, unit_id))

    def _latest(self, organization_id: str, unit_id: str) -> UnitReading | None:
        reading = self._stream.get_latest_reading(organization_id, unit_id)
        return None if reading is None else unit_reading(reading)

    def _get_latest_all(self, socket: Socket, *_ignored: Any) -> msgspec.Raw | Awaitable[msgspec.Raw]:
        # Encoded by its one home at once: thousands of readings must not be searched for bytes one by one.
        organization_id: str = socket.data.identity.organization_id
        is_whole = self._cluster is None or self._cluster.is_whole(organization_id)
        answer = self._latest_answers.at_once(organization_id) if is_whole else None
        return self._get_latest_all_in_turn(organization_id) if answer is None else answer

    async def _get_latest_all_in_turn(self, organization_id: str) -> msgspec.Raw:
        if self._cluster is not None:
            await self._cluster.followed(organization_id)
        return await self._latest_answers.in_turn(organization_id)

    def _when_whole(self, socket: Socket, answer: Callable[[str], _T]) -> _T | Awaitable[_T]:
        """Answer at once where the latest readings of other nodes are known here, as they are but at the very first."""
        organization_id: str = socket.data.identity.organization_id
        if self._cluster is None or self._cluster.is_whole(organization_id):
            return answer(organization_id)
        return self._answer_when_whole(self._cluster, organization_id, answer)

    async def _answer_when_whole(self, cluster: Cluster, organization_id: str, answer: Callable[[str], _T]) -> _T:
        await cluster.followed(organization_id)
        return answer(organization_id)

    def _ping(self, _socket: Socket, *_ignored: Any) -> int:
        return round(self._clock() * 1_000)

    def _subscribe(self, socket: Socket, room: Room, options: Any) -> dict[str, Any]:
        rate = wanted_rate(options, self._flush_interval_s)
        self._quotas.check_subscription(socket.data.identity.organization_id)
        self._follow(socket, room, rate)
        if not isinstance(options, Mapping):
            return {"ok": True}
        return {"ok": True, "rateHz": round(rate.rate_hz(self._flush_interval_s), 6), "mode": rate.mode}

    def _follow(self, socket: Socket, room: Room, rate: Rate) -> None:
        organization_room = Room.organization(socket.data.identity)
        follow(socket, room, rate, organization_room=organization_room, rooms_max=self._settings.rooms_per_socket)
        self._count_rooms(socket, len(socket.rooms))

    def _count_rooms(self, socket: Socket, rooms: int) -> None:
        membership: Membership = socket.data
        self._quotas.add_subscriptions(membership.identity.organization_id, rooms - membership.subscriptions)
        membership.subscriptions = rooms

    def _unsubscribe(self, socket: Socket, room: Room, _options: Any) -> dict[str, Any]:
        unfollow(socket, room, organization_room=Room.organization(socket.data.identity))
        self._count_rooms(socket, len(socket.rooms))
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
