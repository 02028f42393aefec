"""Ten million readings of one unit, made straight in SQL: only reading them is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sensorcast.app import DATABASE_NAME, open_store
from sensorcast.model import Reading
from sensorcast.settings import Settings
from sensorcast.store.postgres_server import connect
from sensorcast.store.postgres_units import PARTITION_US, Partitions
from sensorcast.store.sqlite_file import open_writer

ORGANIZATION, UNIT = "org-0", "unit-0"
FIRST_US: Final = 1_700_000_000_000_000
SECOND_US: Final = 1_000_000
_STEP: Final = 100_000

_COLUMNS: Final = (
    "unit_no, recorded_at_us, device_id, organization_no, received_at_us, temperature, humidity, battery, "
    "signal_strength, source"
)
_SQLITE: Final = f"""
WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :end)
INSERT INTO readings ({_COLUMNS}) SELECT :unit_no, :start_us + n * 1000000, '', :organization_no,
:start_us + n * 1000000, n % 400 / 10.0 - 20, 50.5, n % 101, -70, 'api' FROM numbers
"""
_POSTGRES: Final = f"""
INSERT INTO readings ({_COLUMNS}) SELECT $3, $4 + n * 1000000, '', $5,
$4 + n * 1000000, n % 400 / 10.0 - 20, 50.5, n % 101, -70, 'api' FROM generate_series($1::bigint, $2::bigint - 1) AS n
"""


async def fill(settings: Settings, count: int) -> None:
    """Make the readings that are not there yet."""
    await _begin(settings)
    if settings.database_url:
        await _fill_postgres(settings.database_url, count)
    else:
        _fill_sqlite(Path(settings.data) / DATABASE_NAME, count)


async def _begin(settings: Settings) -> None:
    """Let the product make the schema, the organization and the unit, with the first reading."""
    store = open_store(settings)
    await store.open()
    await store.append([Reading(ORGANIZATION, UNIT, FIRST_US, FIRST_US, temperature=0.0)])
    await store.close()


def _fill_sqlite(path: Path, count: int) -> None:
    connection = open_writer(path, 1_000)
    connection.pragma("wal_autocheckpoint", 4_000)
    organization_no, unit_no = next(connection.execute("SELECT organization_no, unit_no FROM units"))
    known = int(connection.execute("SELECT count(*) FROM readings").get)
    place = {"organization_no": organization_no, "unit_no": unit_no, "start_us": FIRST_US}
    for first in range(known, count, _STEP):
        connection.execute(_SQLITE, place | {"first": first, "end": min(first + _STEP, count)})
    connection.close()


async def _fill_postgres(url: str, count: int) -> None:
    connection: Any = await connect(url)
    end_us = FIRST_US + count * SECOND_US
    await Partitions().make(connection, [*range(FIRST_US, end_us, PARTITION_US), end_us])
    numbers = await connection.fetchrow("SELECT unit_no, organization_no FROM units")
    known = await connection.fetchval("SELECT count(*) FROM readings")
    for first in range(known, count, _STEP):
        end = min(first + _STEP, count)
        await connection.execute(_POSTGRES, first, end, numbers["unit_no"], FIRST_US, numbers["organization_no"])
    await connection.execute("VACUUM ANALYZE readings")  # as the server does by itself in time
    await connection.close()
