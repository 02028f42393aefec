"""The same rows written by a bare loop, without a server: what the database itself can do. Prints rows a second.

python -m bench.ingest.bare_loops sqlite FOLDER READINGS BATCH
python -m bench.ingest.bare_loops postgres URL READINGS BATCH
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.ingest.workload import bodies, readings
from sensorcast.model import Reading
from sensorcast.store.derived_ids import sender_of
from sensorcast.store.postgres_rows import to_row as to_postgres_row
from sensorcast.store.postgres_server import connect, migrate
from sensorcast.store.postgres_units import Partitions, UnitNumbers
from sensorcast.store.sqlite_file import open_writer
from sensorcast.store.sqlite_rows import to_row
from sensorcast.store.sqlite_units import UnitNumbers as SqliteUnitNumbers

BODY = 1_000
COLUMNS = (
    *("unit_no", "recorded_at_us", "device_id", "organization_no", "id", "received_at_us", "temperature"),
    *("humidity", "battery", "signal_strength", "metrics", "source", "site_id"),
)


def sqlite(path: Path, sent: Sequence[Reading], batch: int) -> float:
    """Insert with `executemany`, a commit per batch, the disk waited for: WAL with `synchronous=FULL`."""
    connection = open_writer(path, 1_000)
    connection.pragma("wal_autocheckpoint", 4_000)
    numbers = SqliteUnitNumbers(connection)
    rows = [to_row(reading, numbers) for reading in sent]
    insert = f"INSERT INTO readings ({','.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})"
    started_s = time.perf_counter()
    for start in range(0, len(rows), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows[start : start + batch])
        connection.execute("COMMIT")
    return len(rows) / (time.perf_counter() - started_s)


async def postgres(url: str, sent: Sequence[Reading], batch: int) -> float:
    """COPY straight into the table, a commit per batch."""
    connection, numbers = await connect(url), UnitNumbers()
    await migrate(connection)
    await numbers.learn(connection, {sender_of(reading) for reading in sent})
    await Partitions().make(connection, {reading.recorded_at_us for reading in sent})
    rows = [to_postgres_row(reading, numbers[sender_of(reading)]) for reading in sent]
    started_s = time.perf_counter()
    for start in range(0, len(rows), batch):
        await connection.copy_records_to_table("readings", records=rows[start : start + batch], columns=COLUMNS)
    rate = len(rows) / (time.perf_counter() - started_s)
    await connection.close()
    return rate


def main() -> None:
    kind, place, count, batch = sys.argv[1:]
    sent = readings(bodies(int(count) // BODY, BODY))
    if kind == "sqlite":
        print(sqlite(Path(place) / "bare.db", sent, int(batch)))
    else:
        print(uvloop.run(postgres(place, sent, int(batch))))


if __name__ == "__main__":
    main()
