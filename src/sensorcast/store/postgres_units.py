"""Numbers of organizations and units, who has ever sent, and the partitions of readings, made on first sight.

Owns what must exist before rows can be inserted. All are committed at once, apart from the readings: a number, a sender
or a partition without readings harms nobody, and several servers may make them at the same time. Belongs to the writer.
The invariant: whoever has a reading is in `senders`, where the end of a derived id leads back to unit and device.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sensorcast.store.derived_ids import Sender, sender_digest

_CACHED_SENDERS: Final = 200_000
"""Senders kept in memory (about 60 MiB); beyond it the cache starts anew, at one query per group."""

PARTITION_US: Final = 30 * 86_400 * 1_000_000
"""Time in one partition: the default window of ingestion touches two, a year of history has twelve."""

_PARTITION_LOCK: Final = 0x5343_5354_0002

_SENDERS: Final = (
    "FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS g (organization_id, unit_id, device_id, digest) "
    'JOIN organizations AS o ON o.organization_id = g.organization_id COLLATE "C" '
    'JOIN units AS u ON u.organization_no = o.organization_no AND u.unit_id = g.unit_id COLLATE "C"'
)
_FIND: Final = (
    f"SELECT g.organization_id, g.unit_id, g.device_id, o.organization_no, u.unit_no {_SENDERS} "
    "JOIN senders AS s ON s.organization_no = o.organization_no AND s.digest = g.digest AND s.unit_no = u.unit_no "
    'AND s.device_id = g.device_id COLLATE "C"'
)
_ADD_ORGANIZATIONS: Final = (
    "INSERT INTO organizations (organization_id) SELECT DISTINCT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING"
)
_ADD_UNITS: Final = (
    "INSERT INTO units (organization_no, unit_id) SELECT o.organization_no, g.unit_id "
    "FROM unnest($1::text[], $2::text[]) AS g (organization_id, unit_id) "
    'JOIN organizations AS o ON o.organization_id = g.organization_id COLLATE "C" ON CONFLICT DO NOTHING'
)

_ADD_SENDERS: Final = (
    "INSERT INTO senders (organization_no, digest, unit_no, device_id) "
    f"SELECT o.organization_no, g.digest, u.unit_no, g.device_id {_SENDERS} ON CONFLICT DO NOTHING"
)


class UnitNumbers:
    """Sender -> (organization number, unit number)."""

    def __init__(self) -> None:
        self._known: dict[Sender, tuple[int, int]] = {}

    def __getitem__(self, sender: Sender) -> tuple[int, int]:
        """Give the numbers of a sender that was learned."""
        return self._known[sender]

    async def learn(self, connection: Any, senders: set[Sender]) -> None:
        """Know the numbers of these senders, creating what is new."""
        missing = senders - self._known.keys()
        if missing:
            if len(self._known) + len(missing) > _CACHED_SENDERS:
                self._known.clear()
                missing = senders
            await self._find(connection, missing)
            new = missing - self._known.keys()
            if new:
                columns = _columns(new)
                await connection.execute(_ADD_ORGANIZATIONS, columns[0])
                await connection.execute(_ADD_UNITS, *columns[:2])
                await connection.execute(_ADD_SENDERS, *columns)
                await self._find(connection, new)

    async def _find(self, connection: Any, senders: set[Sender]) -> None:
        found = await connection.fetch(_FIND, *_columns(senders))
        self._known |= {(row[0], row[1], row[2] or None): (row[3], row[4]) for row in found}


def _columns(senders: set[Sender]) -> list[list[Any]]:
    """Give organizations, units, devices and digests, each as a list."""
    # In order, so that two servers that make the same ones never wait for each other in a circle.
    rows = sorted([(*sender[:2], sender[2] or "", sender_digest(sender)) for sender in senders])
    return [list(column) for column in zip(*rows, strict=True)]


class Partitions:
    """The partitions known to exist."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def forget(self) -> None:
        """Another server may have dropped some."""
        self._known.clear()

    async def make(self, connection: Any, times_us: Iterable[int]) -> None:
        """See to it that every time has its partition."""
        for number in {at_us // PARTITION_US for at_us in times_us} - self._known:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _PARTITION_LOCK)
                name = partition_name(number)
                if await connection.fetchval("SELECT to_regclass($1)", name) is None:
                    await connection.execute(_new_partition(name, number))
            self._known.add(number)


def partition_name(number: int) -> str:
    """Give the table name of a partition; `m` stands for minus, before 1970."""
    return f"readings_{number}" if number >= 0 else f"readings_m{-number}"


def partition_number(name: str) -> int:
    """Give the number of a partition by the name of its table, with or without its schema."""
    return int(name.rpartition("readings_")[2].replace("m", "-"))


def _new_partition(name: str, number: int) -> str:
    # Attached rather than created in place: that waits for no query and no insert into other partitions.
    return (
        f"CREATE TABLE {name} (LIKE readings INCLUDING ALL); "
        f"ALTER TABLE readings ATTACH PARTITION {name} "
        f"FOR VALUES FROM ({number * PARTITION_US}) TO ({(number + 1) * PARTITION_US})"
    )
