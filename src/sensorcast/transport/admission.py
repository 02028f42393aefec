"""Who the sockets are: the credential at CONNECT, its renewal, its end and its revocation.

Owns the identity of every socket of a namespace. The invariants: a socket acts for exactly one organization, the one
its credential proved; it does not outlive its credential; and what a renewal or a revocation takes away is gone before
anything else is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol

from sensorcast.auth import OtherOrganization
from sensorcast.errors import Forbidden, QuotaExceeded, SensorcastError, Unauthenticated
from sensorcast.metrics import SOCKETS_REVOKED
from sensorcast.model import Identity, is_valid_id
from sensorcast.settings import Settings
from sensorcast.transport.membership import Deadlines, Membership
from sensorcast.transport.namespace import ConnectRefused, Namespace
from sensorcast.transport.socket import LastAnswer, Socket
from sensorcast.transport.wheel import TimerWheel


class Authenticator(Protocol):
    """Proves credentials; `auth.Authenticator` is one."""

    def prove_now(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity | None:
        """Who it proves, or None when that takes a wait."""
        ...

    async def prove(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity:
        """Who it proves."""
        ...


class Admission:
    """Lets sockets into a namespace; handlers find a `Membership` in `socket.data`. `clock`: seconds since 1970."""

    def __init__(
        self,
        namespace: Namespace,
        wheel: TimerWheel,
        *,
        authenticator: Authenticator,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self.connections: Counter[str] = Counter()
        """Sockets of each organization on this node; keys leave with their last socket."""
        self._namespace = namespace
        self._authenticator = authenticator
        self._settings = settings
        self._clock = clock
        self._deadlines = Deadlines(wheel, clock)
        namespace.use(self._authenticate)
        namespace.on_connect(self._connected)
        namespace.on_disconnect(self._disconnected)
        namespace.on("auth:refresh")(self._refresh)

    # CONNECT

    def _authenticate(self, socket: Socket, auth: dict[str, Any]) -> Awaitable[None] | None:
        try:
            credential = _credential(auth)
            organization_id = auth.get("organizationId")
            if organization_id is not None and not is_valid_id(organization_id):
                raise Unauthenticated("organizationId must be the id of one of the token's organizations")
            identity = self._authenticator.prove_now(
                credential, now_s=self._clock(), address=socket.handshake.address, organization_id=organization_id
            )
            if identity is None:
                return self._authenticate_later(socket, credential, organization_id)
            self._admit(socket, identity)
        except SensorcastError as exc:
            raise _refusal(exc) from exc
        return None

    async def _authenticate_later(self, socket: Socket, credential: str, organization_id: str | None) -> None:
        try:
            self._admit(socket, await self._prove(socket, credential, organization_id))
        except SensorcastError as exc:
            raise _refusal(exc) from exc

    async def _prove(self, socket: Socket, credential: str, organization_id: str | None) -> Identity:
        return await self._authenticator.prove(
            credential, now_s=self._clock(), address=socket.handshake.address, organization_id=organization_id
        )

    def _admit(self, socket: Socket, identity: Identity) -> None:
        if self.connections[identity.organization_id] >= self._settings.connections_per_organization:
            raise QuotaExceeded("too many connections of this organization (setting connections_per_organization)")
        socket.data = Membership(socket, identity, self._ends_at_s(identity))

    def _ends_at_s(self, identity: Identity) -> float | None:
        """When the socket must end: with its token, or with the leeway for one that was accepted within it."""
        ends_at_s = identity.expires_at_s
        if ends_at_s is None or ends_at_s > self._clock():
            return ends_at_s
        return ends_at_s + self._settings.jwt_leeway_s

    def _connected(self, socket: Socket) -> None:
        membership: Membership = socket.data
        self.connections[membership.identity.organization_id] += 1
        self._deadlines.opened(membership)

    def _disconnected(self, socket: Socket, _reason: str) -> None:
        membership: Membership = socket.data
        self._deadlines.closed(membership)
        organization_id = membership.identity.organization_id
        self.connections[organization_id] -= 1
        if not self.connections[organization_id]:
            del self.connections[organization_id]

    # Renewal

    def _refresh(self, socket: Socket, wanted: Any = None, *_ignored: Any) -> Any:
        try:
            credential = _credential(wanted if isinstance(wanted, Mapping) else {})
            identity = self._authenticator.prove_now(
                credential,
                now_s=self._clock(),
                address=socket.handshake.address,
                organization_id=socket.data.identity.organization_id,
            )
            return self._refresh_later(socket, credential) if identity is None else self._renew(socket, identity)
        except SensorcastError as exc:
            return self._not_renewed(socket, exc)

    async def _refresh_later(self, socket: Socket, credential: str) -> dict[str, Any] | LastAnswer:
        try:
            return self._renew(socket, await self._prove(socket, credential, socket.data.identity.organization_id))
        except SensorcastError as exc:
            return self._not_renewed(socket, exc)

    def _renew(self, socket: Socket, identity: Identity) -> dict[str, Any]:
        membership: Membership = socket.data
        if identity.subject != membership.identity.subject:
            raise Forbidden("the token is of another user", hint="Disconnect and connect with it.")
        membership.renew(identity, self._ends_at_s(identity))
        self._deadlines.arrange(membership)
        return {"ok": True, "exp": identity.expires_at_s}

    def _not_renewed(self, socket: Socket, error: SensorcastError) -> dict[str, Any] | LastAnswer:
        """Answer why not. Who is no member any more leaves its rooms now, and goes with the answer."""
        answer = {"ok": False, "error": {"code": error.code, "message": error.message}}
        if not isinstance(error, OtherOrganization):
            return answer
        self._namespace.hub.drop(socket)
        return LastAnswer(answer)

    # Revocation

    def cut_revoked(self, organization_ids: Collection[str], is_revoked: Callable[[Identity], bool]) -> None:
        """End every socket of these organizations whose credential `is_revoked`."""
        for socket in list(self._namespace.sockets.values()):
            membership: Membership = socket.data
            if membership.identity.organization_id in organization_ids and is_revoked(membership.identity):
                SOCKETS_REVOKED.inc()
                socket.disconnect(close=True)


def _credential(auth: Mapping[str, Any]) -> str:
    token = auth.get("token")
    if not isinstance(token, str) or not token:
        raise Unauthenticated("a token is required: {token}")
    return token


def _refusal(error: SensorcastError) -> ConnectRefused:
    data: dict[str, Any] = {"code": error.code}
    if error.retry_after_s is not None:
        data["retryAfterS"] = error.retry_after_s
    return ConnectRefused(error.message, data)
