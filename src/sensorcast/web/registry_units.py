"""The units of an organization over HTTP: what is registered of them and what they measured last, as one list.

The invariant: a unit is in the list when it is registered, or has readings, or both, once, in the order of ids; so a
page that starts behind an id is the same whichever of the two a unit is known by.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import QueryParams

from sensorcast.model import Identity, Reading, Unit
from sensorcast.web import parameters
from sensorcast.web import registry_shapes as shapes
from sensorcast.web.queries import UNITS_PATH
from sensorcast.web.registry import Shelf, cut, page_of

UNIT_PATH: Final = UNITS_PATH + "/{unit_id}"


class Units(Shelf[Unit, shapes.UnitDescription]):
    """The units of an organization."""

    kind, body, noun, path = Unit, shapes.UnitDescription, "unit", UNITS_PATH
    filters = frozenset({"siteId"})

    async def _listed(self, organization_id: str, query: QueryParams) -> shapes.UnitList:
        site_id = parameters.entry_id(query, "siteId")
        limit, after = page_of(query)
        if site_id is None:
            return await self._of_organization(organization_id, after, limit)
        return await self._of_site(organization_id, site_id, after, limit)

    async def _of_organization(self, organization_id: str, after: str | None, limit: int) -> shapes.UnitList:
        """Merge what is registered with what has readings.

        Whatever belongs to the first `limit` ids of both is among the first `limit + 1` of its own.
        """
        registered, measured = await asyncio.gather(
            self._store.list_entries(Unit, organization_id, after=after, limit=limit + 1),
            self._store.units(organization_id, after=after, limit=limit + 1),
        )
        entries = {each.unit_id: each for each in registered}
        newest = {each.unit_id: each for each in measured}
        ids = sorted(entries.keys() | newest.keys())
        units = [shapes.unit(each, entries.get(each), newest.get(each)) for each in ids[:limit]]
        return shapes.UnitList(units=units, next_cursor=ids[limit - 1] if len(ids) > limit else None)

    async def _of_site(self, organization_id: str, site_id: str, after: str | None, limit: int) -> shapes.UnitList:
        found = await self._store.list_entries(Unit, organization_id, after=after, limit=limit + 1, site_id=site_id)
        page, cursor = cut(found, limit)
        ids = [each.unit_id for each in page]
        measured = await self._store.units(organization_id, after=None, limit=len(ids), only=ids)
        newest = {each.unit_id: each for each in measured}
        units = [shapes.unit(each.unit_id, each, newest.get(each.unit_id)) for each in page]
        return shapes.UnitList(units=units, next_cursor=cursor)

    async def _newest(self, organization_id: str, unit_id: str) -> Reading | None:
        page = await self._store.readings(
            organization_id, unit_id, start_us=parameters.FIRST_US, end_us=parameters.LAST_US, limit=1, cursor=None
        )
        return page.readings[0] if page.readings else None

    async def _shown(self, organization_id: str, entry_id: str, entry: Unit | None) -> shapes.Unit:
        newest = await self._newest(organization_id, entry_id)
        if entry is None and newest is None:
            raise self._unknown()
        return shapes.unit(entry_id, entry, newest)

    def _made(self, identity: Identity, entry_id: str, body: shapes.UnitDescription, now_us: int) -> Unit:
        return Unit(
            organization_id=identity.organization_id,
            unit_id=entry_id,
            created_at_us=now_us,
            name=body.name,
            site_id=body.site_id,
            area=body.area,
            metadata=body.metadata,
        )
