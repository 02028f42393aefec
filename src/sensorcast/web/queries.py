"""The query API: the newest reading of a unit and its history. Lists of units are in `registry_units`.

The invariant: every query starts from the organization of the asker's identity, and a unit that is unknown is answered
like one of somebody else's.
"""

from __future__ import annotations

from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sensorcast.errors import NotFound
from sensorcast.model import Unit, is_valid_id
from sensorcast.store import ReadingStore, RegistryStore
from sensorcast.stream.outgoing import UnitReading, unit_reading
from sensorcast.web import parameters
from sensorcast.web.access import Access
from sensorcast.web.answers import ReadingList, json_response
from sensorcast.web.errors import UNKNOWN

UNITS_PATH: Final = "/api/orgs/{organization_id}/units"
READINGS_PATH: Final = UNITS_PATH + "/{unit_id}/readings"
LATEST_PATH: Final = UNITS_PATH + "/{unit_id}/latest"

DEFAULT_LIMIT: Final = 100
READINGS_MAX: Final = 5_000  # about 1.5 MB of JSON, 20 ms of the event loop

_PAGE: Final = frozenset({"limit", "cursor"})
_HISTORY: Final = _PAGE | {"start", "end"}
_NONE: Final[frozenset[str]] = frozenset()


class Store(ReadingStore, RegistryStore, Protocol):
    """Readings, and whether a unit without any is registered."""


class Queries:
    """Handlers of the query API over a store."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        return [
            Route(READINGS_PATH, self.readings),
            Route(LATEST_PATH, self.latest),
        ]

    async def readings(self, request: Request) -> Response:
        """Answer the history of a unit, newest first."""
        identity, unit_id = await self._access.member(request), unit_id_of(request)
        query = request.query_params
        parameters.check_names(query, _HISTORY)
        start_us, end_us = parameters.span_us(query)
        page = await self._store.readings(
            identity.organization_id,
            unit_id,
            start_us=start_us,
            end_us=end_us,
            limit=parameters.whole_number(query, "limit", default=DEFAULT_LIMIT, highest=READINGS_MAX),
            cursor=query.get("cursor"),
        )
        if not page.readings:
            await self._check_known(identity.organization_id, unit_id)
        return json_response(
            ReadingList(readings=[unit_reading(reading) for reading in page.readings], next_cursor=page.next_cursor)
        )

    async def latest(self, request: Request) -> Response:
        """Answer the newest reading of a unit."""
        identity, unit_id = await self._access.member(request), unit_id_of(request)
        parameters.check_names(request.query_params, _NONE)
        return json_response(await self._newest(identity.organization_id, unit_id))

    async def _check_known(self, organization_id: str, unit_id: str) -> None:
        if await self._store.find_entry(Unit, organization_id, unit_id) is None:
            await self._newest(organization_id, unit_id)

    async def _newest(self, organization_id: str, unit_id: str) -> UnitReading:
        page = await self._store.readings(
            organization_id, unit_id, start_us=parameters.FIRST_US, end_us=parameters.LAST_US, limit=1, cursor=None
        )
        if not page.readings:
            raise NotFound(UNKNOWN)
        return unit_reading(page.readings[0])


def unit_id_of(request: Request) -> str:
    """Give the unit id in the path. Raises `NotFound` for what cannot be one."""
    unit_id: str = request.path_params["unit_id"]
    if not is_valid_id(unit_id):
        raise NotFound(UNKNOWN)
    return unit_id
