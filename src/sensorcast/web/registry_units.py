"""The units of an organization over HTTP: what is registered of them and what they measured last, as one list.

The invariant: a unit is in the list when it is registered, or has readings, or both, once, in the order of ids; so a
page that starts behind an id is the same whichever of the two a unit is known by.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import QueryParams

from sensorcast.model import Reading, Unit
from sensorcast.web import parameters
from sensorcast.web import registry_shapes as shapes
from sensorcast.web.queries import UNITS_PATH
from sensorcast.web.registry import Shelf, page_of


class Units(Shelf[Unit, shapes.UnitDescription]):
    """The units of an organization."""

    kind, body, noun, path = Unit, shapes.UnitDescription, "unit", UNITS_PATH
    filters = frozenset({"siteId"})

    async def _listed(self, organization_id: str, query: QueryParams) -> shapes.UnitList:
        site_id = parameters.entry_id(query, "siteId")
        if site_id is None:
            return await self._of_organization(organization_id, query)
        return await self._of_site(organization_id, site_id, query)

    async def _of_organization(self, organization_id: str, query: QueryParams) -> shapes.UnitList:
        """Merge what is registered with what has readings.

        Whatever belongs to the first `limit` ids of both is among the first `limit + 1` of its own.
        """
        limit, after = page_of(query)
        registered, measured = await asyncio.gather(
            self._store.list_entries(Unit, organization_id, after=after, limit=limit + 1),
            self._store.units(organization_id, after=after, limit=limit + 1),
        )
        entries = {each.unit_id: each for each in registered}
        newest = {each.unit_id: each for each in measured}
        ids = sorted(entries.keys() | newest.keys())
        units = [shapes.unit(each, entries.get(each), newest.get(each)) for each in ids[:limit]]
        return shapes.UnitList(units=units, next_cursor=ids[limit - 1] if len(ids) > limit else None)

    async def _of_site(self, organization_id: str, site_id: str, query: QueryParams) -> shapes.UnitList:
        page, cursor = await self._page(organization_id, query, site_id=site_id)
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
