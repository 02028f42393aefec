"""Numbers of organizations and units, and the partitions of readings, made on first sight.

Owns what must exist before rows can be inserted. Both are committed at once, apart from the readings: a number or a
partition without readings harms nobody, and several servers may make them at the same time. Belongs to the writer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_CACHED_UNITS: Final = 200_000
"""Unit numbers kept in memory (about 40 MiB); beyond it the cache starts anew, at one query per group."""

PARTITION_US: Final = 30 * 86_400 * 1_000_000
"""Time in one partition: the default window of ingestion touches two, a year of history has twelve."""

_PARTITION_LOCK: Final = 0x5343_5354_0002

_FIND: Final = (
    "SELECT o.organization_id, u.unit_id, o.organization_no, u.unit_no "
    "FROM unnest($1::text[], $2::text[]) AS g (organization_id, unit_id) "
    'JOIN organizations AS o ON o.organization_id = g.organization_id COLLATE "C" '
    'JOIN units AS u ON u.organization_no = o.organization_no AND u.unit_id = g.unit_id COLLATE "C"'
)
_ADD_ORGANIZATIONS: Final = (
    "INSERT INTO organizations (organization_id) SELECT DISTINCT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING"
)
_ADD_UNITS: Final = (
    "INSERT INTO units (organization_no, unit_id) SELECT o.organization_no, g.unit_id "
    "FROM unnest($1::text[], $2::text[]) AS g (organization_id, unit_id) "
    'JOIN organizations AS o ON o.organization_id = g.organization_id COLLATE "C" ON CONFLICT DO NOTHING'
)


class UnitNumbers:
    """(organization, unit) -> (organization number, unit number)."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, int]] = {}

    def __getitem__(self, unit_key: tuple[str, str]) -> tuple[int, int]:
        """Give the numbers of a unit that was learned."""
        return self._known[unit_key]

    async def learn(self, connection: Any, unit_keys: set[tuple[str, str]]) -> None:
        """Know the numbers of these units, creating those that are new."""
        missing = unit_keys - self._known.keys()
        if missing:
            if len(self._known) + len(missing) > _CACHED_UNITS:
                self._known.clear()
                missing = unit_keys
            await self._find(connection, missing)
            new = missing - self._known.keys()
            if new:
                # In order, so that two servers that make the same units never wait for each other in a circle.
                columns = [list(column) for column in zip(*sorted(new), strict=True)]
                await connection.execute(_ADD_ORGANIZATIONS, columns[0])
                await connection.execute(_ADD_UNITS, *columns)
                await self._find(connection, new)

    async def _find(self, connection: Any, unit_keys: set[tuple[str, str]]) -> None:
        found = await connection.fetch(_FIND, *(list(column) for column in zip(*unit_keys, strict=True)))
        self._known |= {(row[0], row[1]): (row[2], row[3]) for row in found}


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
        f"CREATE UNIQUE INDEX {name}_by_id ON {name} (organization_no, id); "
        f"ALTER TABLE readings ATTACH PARTITION {name} "
        f"FOR VALUES FROM ({number * PARTITION_US}) TO ({(number + 1) * PARTITION_US})"
    )
