"""Who may see what over HTTP: the bearer token of a request, checked for the organization in its address.

The invariant: a request for an organization its token does not name is answered exactly as one for an organization
that does not exist. Every handler gets its organization from the `Identity` made here, never from the address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from starlette.requests import Request

from sensorcast.errors import Forbidden, NotFound, Unauthenticated
from sensorcast.model import Identity, Role
from sensorcast.web.errors import UNKNOWN

_SCHEME: Final = "bearer "
_OPERATORS: Final = frozenset({Role.OWNER, Role.ADMIN})


class Verifier(Protocol):
    """Checks tokens; `auth.TokenVerifier` is one."""

    def verify(self, token: str, *, now_s: float, organization_id: str | None = None) -> Identity:
        """Give who the token proves, for that organization or the token's first one; raises errors of the table."""
        ...


class Access:
    """Turns requests into identities."""

    def __init__(self, verifier: Verifier, clock_s: Callable[[], float]) -> None:
        self._verifier = verifier
        self._clock_s = clock_s

    def member(self, request: Request) -> Identity:
        """Give who asks about the organization in the path. Raises `Unauthenticated`, or `NotFound` when not theirs."""
        try:
            return self._verifier.verify(
                _bearer(request), now_s=self._clock_s(), organization_id=request.path_params["organization_id"]
            )
        except Forbidden:
            raise NotFound(UNKNOWN) from None

    def operator(self, request: Request) -> Identity:
        """Give the owner or admin who asks, in the organization of `?organizationId` or the token's first one."""
        identity = self._verifier.verify(
            _bearer(request),
            now_s=self._clock_s(),
            organization_id=request.query_params.get("organizationId"),
        )
        if identity.role not in _OPERATORS:
            raise Forbidden("this needs the role admin or owner")
        return identity


def _bearer(request: Request) -> str:
    header = request.headers.get("Authorization", "")
    if not header.lower().startswith(_SCHEME):
        raise Unauthenticated("a token is needed", hint="send the header `Authorization: Bearer <token>`")
    return header[len(_SCHEME) :].strip()
