"""The registry over HTTP: what an organization, its sites and its devices are called and belong to.

Owns what is alike for every kind of entry: `Shelf` lists, shows, puts and removes; units are in `registry_units`. The
invariants: members read and admins write, within the organization of their credential and no other; and what was
written acts on this node before the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from msgspec import UNSET, structs
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sensorcast.auth.roles import Permission
from sensorcast.errors import InvalidRequest, NotFound
from sensorcast.model import Device, Identity, Organization, Site, Unit, is_valid_id
from sensorcast.registry.references import check_references, check_unused
from sensorcast.store import ReadingStore, RegistryStore
from sensorcast.web import bodies, parameters
from sensorcast.web import registry_shapes as shapes
from sensorcast.web.access import Access
from sensorcast.web.answers import Answer, json_response

ORGANIZATION_PATH: Final = "/api/orgs/{organization_id}"
SITES_PATH: Final = ORGANIZATION_PATH + "/sites"
DEVICES_PATH: Final = ORGANIZATION_PATH + "/devices"

DEFAULT_LIMIT: Final = 100
LIMIT_MAX: Final = 1_000
PAGE: Final = frozenset({"limit", "cursor"})

E = TypeVar("E", Site, Unit, Device)
B = TypeVar("B", bound=bodies.Body)


class Store(ReadingStore, RegistryStore, Protocol):
    """The registry, and the readings that units have."""


Changed = Callable[[str], None]
"""Makes this node forget what it knew of the registry of an organization."""


class Shelf(ABC, Generic[E, B]):
    """The entries of one kind. `clock_s`: seconds since 1970."""

    kind: type[E]
    body: type[B]
    noun: ClassVar[str]
    path: ClassVar[str]
    filters: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, store: Store, access: Access, changed: Changed, clock_s: Callable[[], float]) -> None:
        self._store = store
        self._access = access
        self._changed = changed
        self._clock_s = clock_s

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        one = f"{self.path}/{{{self.noun}_id}}"
        return [
            Route(self.path, self.list, methods=["GET"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.put, methods=["PUT"]),
            Route(one, self.remove, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """Answer entries by id, a page at a time."""
        identity = await self._access.member(request)
        parameters.check_names(request.query_params, self.filters | PAGE)
        return json_response(await self._listed(identity.organization_id, request.query_params))

    async def show(self, request: Request) -> Response:
        """Answer one entry."""
        identity, entry_id = await self._access.member(request), self._id_in(request)
        parameters.check_names(request.query_params, frozenset())
        entry = await self._store.find_entry(self.kind, identity.organization_id, entry_id)
        return json_response(await self._shown(identity.organization_id, entry_id, entry))

    async def put(self, request: Request) -> Response:
        """Make an entry (201), or replace it (200)."""
        identity = await self._access.member(request, Permission.MANAGE_REGISTRY)
        entry_id: str = request.path_params[f"{self.noun}_id"]
        if not is_valid_id(entry_id):
            raise InvalidRequest(f"{self.noun}Id must be 1 to 128 of A-Z a-z 0-9 _ . : -")
        body = await bodies.read(request, self.body)
        entry = self._made(identity, entry_id, body)
        await check_references(self._store, entry)
        is_new = await self._store.put_entry(entry)
        self._changed(identity.organization_id)
        stored = entry if is_new else await self._store.find_entry(self.kind, identity.organization_id, entry_id)
        shown = await self._shown(identity.organization_id, entry_id, stored)
        return json_response(shown, status=201 if is_new else 200)

    async def remove(self, request: Request) -> Response:
        """Remove an entry; readings stay."""
        identity = await self._access.member(request, Permission.MANAGE_REGISTRY)
        entry_id = self._id_in(request)
        await check_unused(self._store, self.kind, identity.organization_id, entry_id)
        if not await self._store.remove_entry(self.kind, identity.organization_id, entry_id):
            raise self._unknown()
        self._changed(identity.organization_id)
        return Response(status_code=204)

    def _id_in(self, request: Request) -> str:
        entry_id: str = request.path_params[f"{self.noun}_id"]
        if not is_valid_id(entry_id):
            raise self._unknown()
        return entry_id

    def _unknown(self) -> NotFound:
        return NotFound(f"no such organization or {self.noun}, or it is not yours")

    def _made(self, identity: Identity, entry_id: str, body: B) -> E:
        """Make the entry that a body describes: what it names are fields of the entry, called the same."""
        fields: dict[str, Any] = structs.asdict(body)
        fields |= {"organization_id": identity.organization_id, f"{self.noun}_id": entry_id}
        return self.kind(**fields, created_at_us=int(self._clock_s() * 1_000_000))

    async def _page(
        self, organization_id: str, query: QueryParams, *, site_id: str | None = None, unit_id: str | None = None
    ) -> tuple[Sequence[E], str | None]:
        """Give the entries that are asked for, and the cursor of the next page when there is more."""
        limit, after = page_of(query)
        found = await self._store.list_entries(
            self.kind, organization_id, after=after, limit=limit + 1, site_id=site_id, unit_id=unit_id
        )
        return found[:limit], found[limit - 1].entry_id if len(found) > limit else None

    # What differs between kinds

    @abstractmethod
    async def _listed(self, organization_id: str, query: QueryParams) -> Answer:
        """Give one page of the list; the names in `query` are known."""

    @abstractmethod
    async def _shown(self, organization_id: str, entry_id: str, entry: E | None) -> Answer:
        """Give an entry as it is answered. Raises `NotFound` when there is none."""


class Sites(Shelf[Site, shapes.SiteDescription]):
    """The sites of an organization."""

    kind, body, noun, path = Site, shapes.SiteDescription, "site", SITES_PATH

    async def _listed(self, organization_id: str, query: QueryParams) -> Answer:
        page, cursor = await self._page(organization_id, query)
        return shapes.SiteList(sites=[shapes.site(each) for each in page], next_cursor=cursor)

    async def _shown(self, organization_id: str, entry_id: str, entry: Site | None) -> Answer:
        if entry is None:
            raise self._unknown()
        return shapes.site(entry)


class Devices(Shelf[Device, shapes.DeviceDescription]):
    """The devices of an organization."""

    kind, body, noun, path = Device, shapes.DeviceDescription, "device", DEVICES_PATH
    filters = frozenset({"unitId"})

    async def _listed(self, organization_id: str, query: QueryParams) -> Answer:
        page, cursor = await self._page(organization_id, query, unit_id=parameters.entry_id(query, "unitId"))
        return shapes.DeviceList(devices=[shapes.device(each) for each in page], next_cursor=cursor)

    async def _shown(self, organization_id: str, entry_id: str, entry: Device | None) -> Answer:
        if entry is None:
            raise self._unknown()
        return shapes.device(entry)


class OrganizationItself:
    """Name and metadata of the organization of a credential."""

    def __init__(self, store: RegistryStore, access: Access, changed: Changed, clock_s: Callable[[], float]) -> None:
        self._store = store
        self._access = access
        self._changed = changed
        self._clock_s = clock_s

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        return [
            Route(ORGANIZATION_PATH, self.show, methods=["GET"]),
            Route(ORGANIZATION_PATH, self.change, methods=["PATCH"]),
        ]

    async def show(self, request: Request) -> Response:
        """Answer the organization, also when nothing is registered of it."""
        identity = await self._access.member(request)
        parameters.check_names(request.query_params, frozenset())
        return json_response(shapes.organization(identity.organization_id, await self._find(identity)))

    async def change(self, request: Request) -> Response:
        """Change what the body names, and answer the organization as it is then."""
        identity = await self._access.member(request, Permission.MANAGE_REGISTRY)
        change = await bodies.read(request, shapes.OrganizationChange)
        now_us = int(self._clock_s() * 1_000_000)
        named = {name: value for name, value in structs.asdict(change).items() if value is not UNSET}
        entry = Organization(organization_id=identity.organization_id, created_at_us=now_us, **named)
        await self._store.put_entry(entry, only=named.keys())
        self._changed(identity.organization_id)
        return json_response(shapes.organization(identity.organization_id, await self._find(identity)))

    async def _find(self, identity: Identity) -> Organization | None:
        return await self._store.find_entry(Organization, identity.organization_id, identity.organization_id)


def page_of(query: QueryParams) -> tuple[int, str | None]:
    """Give how many entries are asked for, and the id they start behind."""
    limit = parameters.whole_number(query, "limit", default=DEFAULT_LIMIT, highest=LIMIT_MAX)
    after = query.get("cursor")
    if after is not None and not is_valid_id(after):
        raise InvalidRequest("cursor must be a nextCursor of an earlier answer")
    return limit, after
