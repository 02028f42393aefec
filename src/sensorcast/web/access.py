"""Who may see and do what over HTTP: the credential of a request, checked for the organization in its address.

The invariant: a request for an organization its credential does not name is answered exactly as one for an organization
that does not exist. Every handler gets its organization from the `Identity` made here, never from the address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from starlette.requests import Request

from sensorcast.auth import OtherOrganization
from sensorcast.auth.roles import Permission, check
from sensorcast.errors import NotFound, Unauthenticated
from sensorcast.model import Identity
from sensorcast.quotas import Quotas
from sensorcast.web.errors import UNKNOWN

_SCHEME: Final = "bearer "


class Authenticator(Protocol):
    """Proves credentials; `auth.Authenticator` is one."""

    async def prove(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity:
        """Give who it proves, for that organization or the only one it is for; raises errors of the table."""
        ...


class Access:
    """Turns requests into identities."""

    def __init__(self, authenticator: Authenticator, quotas: Quotas, clock_s: Callable[[], float]) -> None:
        self._authenticator = authenticator
        self._quotas = quotas
        self._clock_s = clock_s

    async def member(self, request: Request, permission: Permission = Permission.WATCH) -> Identity:
        """Give who asks about the organization in the path, and may.

        Raises `Unauthenticated`, `NotFound` when it is not theirs, `Forbidden` when their role may not,
        `QuotaExceeded` when the organization asks too often.
        """
        try:
            identity = await self._prove(request, request.path_params["organization_id"])
        except OtherOrganization:
            raise NotFound(UNKNOWN) from None
        check(identity, permission)
        return identity

    async def operator(self, request: Request) -> Identity:
        """Give the owner or admin who asks, in the organization of `?organizationId` or the only one of the token."""
        identity = await self._prove(request, request.query_params.get("organizationId"))
        check(identity, Permission.READ_STATS)
        return identity

    async def _prove(self, request: Request, organization_id: str | None) -> Identity:
        identity = await self._authenticator.prove(
            _credential(request),
            now_s=self._clock_s(),
            address=request.client.host if request.client else "",
            organization_id=organization_id,
        )
        self._quotas.take_request(identity.organization_id)
        return identity


def _credential(request: Request) -> str:
    """Give the token or API key. Only headers count: an address is written to logs and histories everywhere."""
    header = request.headers.get("Authorization", "")
    if header.lower().startswith(_SCHEME):
        return header[len(_SCHEME) :].strip()
    key = request.headers.get("X-API-Key")
    if key is None:
        raise Unauthenticated("a token is needed", hint="send the header `Authorization: Bearer <token>`")
    return key
