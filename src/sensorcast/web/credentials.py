"""API keys and revocations of an organization, for its admins and owners.

The invariants: the text of a key is answered once, when it is made, and a hash of it never; what is revoked here is cut
before the answer on this node, and on others when they look next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sensorcast.auth import new_api_key
from sensorcast.auth.roles import Permission, check
from sensorcast.entries import is_line
from sensorcast.errors import InvalidRequest, NotFound
from sensorcast.model import ApiKey, Revocation, RevocationKind, Scope, format_time
from sensorcast.store import KeyStore, RevocationStore
from sensorcast.web import bodies, parameters
from sensorcast.web.access import Access
from sensorcast.web.answers import Answer, json_response
from sensorcast.web.errors import UNKNOWN

KEYS_PATH: Final = "/api/orgs/{organization_id}/keys"
KEY_PATH: Final = KEYS_PATH + "/{key_id}"
REVOCATIONS_PATH: Final = "/api/orgs/{organization_id}/revocations"
_LONGEST_DAYS: Final = 3_650

NamedKind = Annotated[str, Meta(pattern="^(token|user|organization)$")]


class NewKey(bodies.Body, frozen=True):
    """What a new key is for, and for how long."""

    name: Annotated[str, Meta(max_length=128)] = ""
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=3)] = msgspec.field(
        default_factory=lambda: [Scope.INGEST]
    )
    expires_in_days: Annotated[int, Meta(ge=1, le=_LONGEST_DAYS)] | None = None


class Key(Answer, frozen=True):
    """An API key, without its secret. `lastUsedAt` is there to within a minute."""

    key_id: str
    name: str
    scopes: Sequence[Scope]
    created_at: str
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None


class CreatedKey(Answer, frozen=True):
    """A new key and its text, which is shown here and never again."""

    key: Key
    text: str


class KeyList(Answer, frozen=True):
    """Every key of the organization, oldest first; revoked ones, too."""

    keys: Sequence[Key]


class NewRevocation(bodies.Body, frozen=True):
    """What holds no longer: a token by its `jti`, all tokens of a user by `sub`, or all credentials there are."""

    kind: NamedKind
    subject: Annotated[str, Meta(max_length=256)] = ""


class RevocationEntry(Answer, frozen=True):
    """What was revoked, and when."""

    kind: RevocationKind
    subject: str
    revoked_at: str


class RevocationList(Answer, frozen=True):
    """What was revoked, oldest first."""

    revocations: Sequence[RevocationEntry]


class Store(KeyStore, RevocationStore, Protocol):
    """Where credentials are kept."""


class Credentials:
    """Handlers over a store. `look` makes this node take note of what is revoked; `clock_s`: seconds since 1970."""

    def __init__(
        self, store: Store, access: Access, *, look: Callable[[], Awaitable[None]], clock_s: Callable[[], float]
    ) -> None:
        self._store = store
        self._access = access
        self._look = look
        self._clock_s = clock_s

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        return [
            Route(KEYS_PATH, self.list_keys, methods=["GET"]),
            Route(KEYS_PATH, self.create_key, methods=["POST"]),
            Route(KEY_PATH, self.revoke_key, methods=["DELETE"]),
            Route(REVOCATIONS_PATH, self.list_revocations, methods=["GET"]),
            Route(REVOCATIONS_PATH, self.revoke, methods=["POST"]),
        ]

    async def list_keys(self, request: Request) -> Response:
        """Answer the keys of the organization."""
        identity = await self._access.member(request, Permission.MANAGE_KEYS)
        parameters.check_names(request.query_params, frozenset())
        found = await self._store.list_keys(identity.organization_id)
        return json_response(KeyList(keys=[_shown(key) for key in found]))

    async def create_key(self, request: Request) -> Response:
        """Make a key and answer its text."""
        identity = await self._access.member(request, Permission.MANAGE_KEYS)
        wanted = await bodies.read(request, NewKey)
        if not is_line(wanted.name):  # an operator sees it in a terminal
            raise InvalidRequest("name must be without control characters")
        now_us = self._now_us()
        days = wanted.expires_in_days
        expires_at_us = None if days is None else now_us + days * 86_400_000_000
        key, text = new_api_key(
            identity.organization_id, wanted.name, now_us, scopes=wanted.scopes, expires_at_us=expires_at_us
        )
        await self._store.create_key(key)
        return json_response(CreatedKey(key=_shown(key), text=text), status=201)

    async def revoke_key(self, request: Request) -> Response:
        """Revoke a key; its sockets are cut before the answer."""
        identity = await self._access.member(request, Permission.MANAGE_KEYS)
        key_id = request.path_params["key_id"]
        if not await self._store.revoke_key(identity.organization_id, key_id, now_us=self._now_us()):
            raise NotFound(UNKNOWN)
        await self._look()
        return Response(status_code=204)

    async def list_revocations(self, request: Request) -> Response:
        """Answer what was revoked in the organization."""
        identity = await self._access.member(request, Permission.REVOKE)
        parameters.check_names(request.query_params, frozenset())
        found = await self._store.list_revocations(identity.organization_id)
        return json_response(RevocationList(revocations=[_entry(each) for each in found]))

    async def revoke(self, request: Request) -> Response:
        """Revoke tokens; their sockets are cut before the answer."""
        identity = await self._access.member(request, Permission.REVOKE)
        wanted = await bodies.read(request, NewRevocation)
        kind = RevocationKind(wanted.kind)
        if kind is RevocationKind.ORGANIZATION:
            check(identity, Permission.REVOKE_ALL)
        if "\0" in wanted.subject:  # which not every store can hold
            raise InvalidRequest("subject must be without NUL")
        if (kind is RevocationKind.ORGANIZATION) is bool(wanted.subject):
            raise InvalidRequest("subject is a jti or a sub, and left out for the whole organization")
        revocation = Revocation(
            organization_id=identity.organization_id, kind=kind, subject=wanted.subject, revoked_at_us=self._now_us()
        )
        await self._store.revoke(revocation)
        await self._look()
        return json_response(_entry(revocation), status=201)

    def _now_us(self) -> int:
        return int(self._clock_s() * 1_000_000)


def _shown(key: ApiKey) -> Key:
    return Key(
        key_id=key.key_id,
        name=key.name,
        scopes=sorted(key.scopes),
        created_at=format_time(key.created_at_us),
        expires_at=_time(key.expires_at_us),
        last_used_at=_time(key.last_used_at_us),
        revoked_at=_time(key.revoked_at_us),
    )


def _time(moment_us: int | None) -> str | None:
    return None if moment_us is None else format_time(moment_us)


def _entry(revocation: Revocation) -> RevocationEntry:
    return RevocationEntry(
        kind=revocation.kind, subject=revocation.subject, revoked_at=format_time(revocation.revoked_at_us)
    )
