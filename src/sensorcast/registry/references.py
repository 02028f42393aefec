"""What has to hold between entries when somebody registers them: units stand at sites there are, and so on.

Called by whoever lets people write, over HTTP and on the command line. The store itself checks no reference, because a
reading may name what nobody has registered; so two changes at the same moment can leave an entry that names one which
is gone, and that does no harm. The invariant: only what its own organization has registered can be named.
"""

from __future__ import annotations

from sensorcast.errors import InvalidRequest
from sensorcast.model import Device, Entry, Site, Unit
from sensorcast.store import RegistryStore


async def check_references(store: RegistryStore, entry: Entry) -> None:
    """Raise `InvalidRequest` when `entry` names a site or a unit that its organization has not registered."""
    kind: type[Site] | type[Unit]
    match entry:
        case Unit(site_id=str(named)):
            kind = Site
        case Device(unit_id=str(named)):
            kind = Unit
        case _:
            return
    if await store.find_entry(kind, entry.organization_id, named) is None:
        noun = kind.__name__.lower()
        raise InvalidRequest(
            f"{noun}Id names a {noun} that is not registered", hint=f"register the {noun} first, or leave {noun}Id out"
        )


async def check_unused(store: RegistryStore, kind: type[Entry], organization_id: str, entry_id: str) -> None:
    """Raise `InvalidRequest` when units stand at the site that is to be removed; other kinds are free to go."""
    if kind is not Site:
        return
    if await store.list_entries(Unit, organization_id, after=None, limit=1, site_id=entry_id):
        raise InvalidRequest("units are registered at this site", hint="remove them or register them elsewhere first")
