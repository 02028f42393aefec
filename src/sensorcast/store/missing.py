"""Which of some entries a registry does not have: asked before adding them, and after, to see what found no room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sensorcast.model import Entry
from sensorcast.store import RegistryStore

S = TypeVar("S", bound=Entry)


async def missing_in(store: RegistryStore, entries: Iterable[S]) -> list[S]:
    """Give those that are missing, by one query for each kind and organization among them."""
    groups: dict[tuple[type[S], str], list[S]] = {}
    for entry in entries:
        groups.setdefault((type(entry), entry.organization_id), []).append(entry)
    missing: list[S] = []
    for (kind, organization_id), group in groups.items():
        found = await store.find_entries(kind, organization_id, [entry.entry_id for entry in group])
        there = {entry.entry_id for entry in found}
        missing += [entry for entry in group if entry.entry_id not in there]
    return missing
