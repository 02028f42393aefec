"""Durable readings, keys and registry: the contracts every store keeps.

Stores import nothing of sensorcast above layer 0. Called by the pipeline (append), the app (open, warm start, close),
the web door (queries), the registry, and the CLI (keys, registry).
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from sensorcast.model import ApiKey, Entry, Organization, Reading, Revocation, Verdict

E = TypeVar("E", bound=Entry)
"""A kind of entry."""


class ReadingPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a unit's history, newest first, and where the next one starts (None: this was the last)."""

    readings: Sequence[Reading]
    next_cursor: str | None = None


METRIC_PREFIX: Final = "metrics."
"""A measure is `temperature`, `humidity`, `battery`, `signalStrength`, or this and the name of one of `metrics`."""


REVOCATIONS_MAX: Final = 10_000
"""Of one organization: they are kept in memory. Revoking the whole organization makes room."""

KEYS_MAX: Final = 1_000
"""API keys of one organization, revoked ones included."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of one measure were within a bucket."""

    low: float
    high: float
    mean: float


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """The readings of one unit within a stretch of time, as few numbers. `time_us` is their mean time."""

    start_us: int
    time_us: int
    count: int
    spreads: Mapping[str, Spread]
    """By measure; a measure that no reading of the bucket has is not there."""


class ReadingStore(Protocol):
    """Where readings are kept. Safe to call from the event loop; no method ever blocks it.

    - Durable: `append` returns only after the commit reached the disk; a reading whose verdict is STORED survives
      kill -9 and power loss. When it raises, nothing of the call is promised, and sending it again is safe.
    - Idempotent: a reading with a known (organization, id) or natural key (organization, unit, device, recordedAt) is
      not stored again: DUPLICATE when all that was measured agrees, CONFLICT otherwise. `received_at_us`, `source` and
      `site_id` are not measured: those of the first stay.
    - Atomic: one call is one transaction (several calls may share one); verdicts are index-aligned, and within one
      call an earlier item counts as stored for a later one.
    - Bounded: beyond its queue limits `append` raises `Unavailable` at once; a full disk raises `StorageFull`; a busy
      or broken database raises `Unavailable`.
    - Apart: every query starts from the organization; no result ever mixes two.
    """

    async def open(self) -> None:
        """Open or create the database and bring its schema up to date. Raises `ConfigurationError` if it cannot."""
        ...

    async def close(self) -> None:
        """Commit everything accepted, then close. Later calls raise `Unavailable`."""
        ...

    def append(self, readings: Sequence[Reading]) -> Awaitable[list[Verdict]]:
        """Make readings durable; give one verdict per reading, in order, after the commit. May raise at once."""
        ...

    async def latest(self, *, limit: int) -> list[Reading]:
        """The newest reading (by recorded_at) of every unit of every organization, most recent units first."""
        ...

    async def units(
        self, organization_id: str, *, after: str | None, limit: int, only: Sequence[str] | None = None
    ) -> list[Reading]:
        """The newest reading of each unit of one organization, by unit id, starting behind `after`.

        With `only` of those with these ids.
        """
        ...

    async def readings(
        self, organization_id: str, unit_id: str, *, start_us: int, end_us: int, limit: int, cursor: str | None
    ) -> ReadingPage:
        """History of one unit in `start_us <= recorded_at < end_us`, newest first, stable under inserts.

        Raises `InvalidRequest` for a cursor that is not one of ours.
        """
        ...

    async def expire(self, *, before_us: int, limit: int) -> int:
        """Delete about `limit` of the readings recorded before a time; give how many, 0 when there are none left.

        A store that keeps readings in parts by time may delete whole parts at once.
        """
        ...

    async def trouble(self) -> str | None:
        """None when writes work; otherwise why they do not, for `/readyz`. Cheap enough to ask every second."""
        ...


class SeriesStore(Protocol):
    """History made small, for charts. Same promises about organizations and the event loop as `ReadingStore`.

    Buckets begin at `start_us` and every `bucket_us` after it; the last one ends at `end_us`.
    """

    async def series(
        self, organization_id: str, unit_id: str, *, measures: Sequence[str], start_us: int, end_us: int, bucket_us: int
    ) -> list[Bucket]:
        """The buckets of one unit that hold readings, oldest first, computed from every reading in them."""
        ...

    async def samples(
        self,
        organization_id: str,
        unit_ids: Sequence[str],
        *,
        measure: str,
        start_us: int,
        end_us: int,
        bucket_us: int,
    ) -> dict[str, list[float | None]]:
        """Per unit the first value in each bucket, None where it holds none; units that are unknown are left out.

        Costs a look-up per bucket and unit, however many readings there are between.
        """
        ...


class KeyStore(Protocol):
    """Where API keys are kept, hashed. Same promises about durability and the event loop as `ReadingStore`."""

    async def create_key(self, key: ApiKey) -> None:
        """Store a key; its organization is known to the registry from then on."""
        ...

    async def find_key(self, key_id: str) -> ApiKey | None: ...

    async def list_keys(self, organization_id: str) -> list[ApiKey]: ...

    async def revoke_key(self, organization_id: str, key_id: str, *, now_us: int) -> bool:
        """Revoke; False when that organization has no such live key."""
        ...

    async def note_key_uses(self, last_used_at_us: Mapping[str, int]) -> None:
        """Write when keys were last used, by key id; never moves back, and unknown keys are ignored."""
        ...


class RevocationStore(Protocol):
    """Where it is kept what credentials hold no longer. Same promises as `KeyStore`.

    Revoking a key (`KeyStore.revoke_key`) makes a revocation as well; revoking an organization revokes its keys.
    """

    async def revoke(self, revocation: Revocation) -> None:
        """Store a revocation under a number higher than any before; one of the same subject is replaced by it.

        Raises `InvalidRequest` when the organization has too many.
        """
        ...

    async def revocations_since(self, number: int) -> list[Revocation]:
        """Every revocation with a higher number, of all organizations, by number."""
        ...

    async def list_revocations(self, organization_id: str) -> list[Revocation]:
        """The revocations of one organization, by number."""
        ...


class RegistryStore(Protocol):
    """Where it is kept what organizations, sites, units and devices are called and belong to.

    Same promises about durability and the event loop as `ReadingStore`, and besides:

    - Identity: an entry is named by its kind, its organization and its id; alike ids of two organizations, or of two
      kinds, have nothing to do with each other. The id of an `Organization` is its `organization_id`.
    - Checked: whatever is stored has passed `entries.check_entry`. References are not checked: a unit may name a site,
      a device a unit, that has no entry, as a reading may.
    - Bounded: an organization has at most `registry_sites_max`, `registry_units_max` and `registry_devices_max`
      entries. The count is exact, also when several processes write at once.
    - Whole: what is stored for an organization makes the organization known too.
    - Readings are another matter: no method here looks at them or touches them.
    """

    async def put_entry(self, entry: Entry, *, only: Collection[str] | None = None) -> bool:
        """Insert an entry or replace it whole, but for `created_at_us`, which stays; True when it is new.

        With `only`, names of fields, just these of an entry that is there are replaced: who changes others of it at
        the same time, here or on another server, loses nothing.

        Raises `InvalidRequest` for what is not allowed in an entry, or when a new one would be beyond the bound.
        """
        ...

    async def add_missing(self, entries: Sequence[Entry]) -> int:
        """Insert those that are missing and find room, all in one transaction; give how many that were.

        Never changes what is there, so doing it again does nothing. Those beyond a bound are left out, the rest is not
        touched by it. Raises `InvalidRequest`, and inserts none, when one holds what is not allowed.
        """
        ...

    async def find_entry(self, kind: type[E], organization_id: str, entry_id: str) -> E | None:
        """Give an entry; None when that organization has none of this kind and id."""
        ...

    async def find_entries(self, kind: type[E], organization_id: str, entry_ids: Sequence[str]) -> list[E]:
        """Give those of the entries with these ids that there are, by id."""
        ...

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
        """Give entries of one organization by id, starting behind the id `after`.

        With `site_id` only units that stand there, with `unit_id` only devices of that unit: no other kind has any.
        """
        ...

    async def remove_entry(self, kind: type[E], organization_id: str, entry_id: str) -> bool:
        """Remove an entry; False when there is none. With an `Organization` go its sites, units and devices."""
        ...

    async def list_organizations(self, *, after: str | None, limit: int) -> list[Organization]:
        """Give the organizations by id, starting behind the id `after`. For the operator, never for a tenant."""
        ...

    async def registry_changes(self, since: int) -> tuple[int, list[str]]:
        """Give the organizations whose entries were put or removed after the change numbered `since`, by last change.

        With them the number to ask with the next time; 0 asks for all there ever were. What is read after a number was
        given is never older than what the number stands for. `add_missing` is not a change: it changes nothing.
        """
        ...


class Store(ReadingStore, SeriesStore, KeyStore, RevocationStore, RegistryStore, Protocol):
    """What a database is to the server: all contracts in one."""
