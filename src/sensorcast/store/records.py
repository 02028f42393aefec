"""What a store keeps beside readings: credentials and the registry.

The invariant: every database is asked in the same words; a store says only how its statements are run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from sensorcast.model import ApiKey, Entry, Organization, Revocation
from sensorcast.settings import Settings
from sensorcast.store import E, credentials, registry
from sensorcast.store.registry_rows import KINDS, to_row
from sensorcast.store.statements import T, Work


class Records(ABC):
    """`KeyStore`, `RevocationStore` and `RegistryStore`, for a store to inherit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    async def _ask(self, work: Work[T]) -> T:
        """Do what only reads."""

    @abstractmethod
    async def _transact(self, work: Work[T]) -> T:
        """Do `work` in a transaction of its own; after the commit give what it returns."""

    async def create_key(self, key: ApiKey) -> None:
        await self._transact(lambda statements: credentials.insert_key(statements, key))

    async def find_key(self, key_id: str) -> ApiKey | None:
        return await self._ask(lambda statements: credentials.find_key(statements, key_id))

    async def list_keys(self, organization_id: str) -> list[ApiKey]:
        return await self._ask(lambda statements: credentials.list_keys(statements, organization_id))

    async def revoke_key(self, organization_id: str, key_id: str, *, now_us: int) -> bool:
        return await self._transact(
            lambda statements: credentials.revoke_key(statements, organization_id, key_id, now_us)
        )

    async def note_key_uses(self, last_used_at_us: Mapping[str, int]) -> None:
        await self._transact(lambda statements: credentials.note_key_uses(statements, last_used_at_us))

    async def revoke(self, revocation: Revocation) -> None:
        await self._transact(lambda statements: credentials.revoke(statements, revocation))

    async def revocations_since(self, number: int) -> list[Revocation]:
        return await self._ask(lambda statements: credentials.revocations_since(statements, number))

    async def list_revocations(self, organization_id: str) -> list[Revocation]:
        return await self._ask(lambda statements: credentials.list_revocations(statements, organization_id))

    async def put_entry(self, entry: Entry, *, only: Collection[str] | None = None) -> bool:
        row = to_row(entry)
        return await self._transact(lambda statements: registry.put_entry(statements, row, self._settings, only))

    async def add_missing(self, entries: Sequence[Entry]) -> int:
        return await self._transact(lambda statements: registry.add_missing(statements, entries, self._settings))

    async def find_entry(self, kind: type[E], organization_id: str, entry_id: str) -> E | None:
        found = await self.find_entries(kind, organization_id, [entry_id])
        return found[0] if found else None

    async def find_entries(self, kind: type[E], organization_id: str, entry_ids: Sequence[str]) -> list[E]:
        return await self._ask(
            lambda statements: registry.find_entries(statements, KINDS[kind], organization_id, entry_ids)
        )

    async def list_entries(
        self,
        kind: type[E],
        organization_id: str,
        *,
        after: str | None,
        limit: int,
        site_id: str | None = None,
        unit_id: str | None = None,
    ) -> list[E]:
        only = {name: each for name, each in (("site_id", site_id), ("unit_id", unit_id)) if each is not None}
        return await self._ask(
            lambda statements: registry.list_entries(
                statements, KINDS[kind], organization_id, after=after or "", limit=limit, only=only
            )
        )

    async def remove_entry(self, kind: type[E], organization_id: str, entry_id: str) -> bool:
        return await self._transact(
            lambda statements: registry.remove_entry(statements, KINDS[kind], organization_id, entry_id)
        )

    async def list_organizations(self, *, after: str | None, limit: int) -> list[Organization]:
        return await self._ask(lambda statements: registry.list_organizations(statements, after or "", limit))

    async def registry_changes(self, since: int) -> tuple[int, list[str]]:
        return await self._ask(lambda statements: registry.changes(statements, since))
