"""What a reading costs the server that takes it in and stores it, and its database."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.ingest.__main__ import bare_loop, good, product
from bench.ingest.client import send_all
from bench.ingest.workload import bodies
from bench.redis_server import RedisUse, redis_server, sample
from bench.servers import cpu_ns
from sensorcast.store.postgres_server import connect
from tests.support.postgres import PostgresServer

CONNECTIONS = 32
READINGS = {1: 8_000, 10: 40_000, 100: 100_000}
"""Readings sent, by how many of them one request has."""
PATIENT = {"SENSORCAST_QUEUE_MAX_WAIT_S": "60"}
"""Nothing is refused on a machine whose disk has something else to do: what is asked for is a cost, not a speed."""
ROUNDS = 3
"""Of the two whose difference counts, in turns; the median of each is taken."""


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of requests, sent as fast as they were answered."""

    store: str
    readings_per_request: int
    cpu_us: float
    """Of the server, per reading."""
    readings_per_s: float
    bus_bytes: float = 0.0
    """Per reading, to Redis."""
    database_us: float = 0.0
    """Processor time of PostgreSQL per reading."""
    log_bytes: float = 0.0
    """What PostgreSQL writes to its log (WAL) per reading."""
    disk_bytes: float = 0.0
    """What a reading takes in its table, indexes included."""


def measure_intake() -> list[Intake]:
    """On SQLite by size of request, the largest again with Redis, then on PostgreSQL."""
    results = [_on_sqlite(each) for each in (1, 10)]
    pairs = [(_on_sqlite(100), _on_redis(100)) for _ in range(ROUNDS)]
    results += [_median(list(each)) for each in zip(*pairs, strict=True)]
    return [*results, *(_on_postgres(each) for each in READINGS)]


def _median(rounds: list[Intake]) -> Intake:
    return sorted(rounds, key=lambda each: each.cpu_us)[len(rounds) // 2]


def bare_postgres_rows_per_s(count: int = 100_000) -> float:
    """What one session writes with COPY and nothing else."""
    with _postgres() as (_, database_url):
        return bare_loop("postgres", database_url, count)


def _on_sqlite(readings_per_request: int) -> Intake:
    with _folder() as folder:
        return _send(folder, readings_per_request, "SQLite")


def _on_redis(readings_per_request: int) -> Intake:
    with _folder() as folder, redis_server(folder) as redis:
        before = sample(redis)
        taken = _send(folder, readings_per_request, "SQLite, Redis", {"SENSORCAST_REDIS_URL": redis.url})
        use = RedisUse(before, sample(redis))
        return msgspec.structs.replace(taken, bus_bytes=use.in_bytes / READINGS[readings_per_request])


def _on_postgres(readings_per_request: int) -> Intake:
    with _folder() as folder, _postgres() as (database, database_url):
        log_bytes, _ = asyncio.run(_written(database_url))
        taken = _send(folder, readings_per_request, "PostgreSQL", database_url=database_url, database=database)
        count = READINGS[readings_per_request]
        after_bytes, disk_bytes = asyncio.run(_written(database_url))
        return msgspec.structs.replace(
            taken, log_bytes=(after_bytes - log_bytes) / count, disk_bytes=disk_bytes / count
        )


async def _written(database_url: str) -> tuple[int, int]:
    """Bytes of a PostgreSQL's log so far, and of its tables of readings."""
    connection = await connect(database_url)
    row = await connection.fetchrow(
        "SELECT pg_current_wal_insert_lsn() - '0/0', (SELECT coalesce(sum(pg_total_relation_size(oid)), 0) "
        "FROM pg_class WHERE relkind = 'r' AND relname LIKE 'readings%')"
    )
    await connection.close()
    return int(row[0]), int(row[1])


def _send(
    folder: Path,
    readings_per_request: int,
    store: str,
    environment: Mapping[str, str] | None = None,
    *,
    database_url: str = "",
    database: PostgresServer | None = None,
) -> Intake:
    count = READINGS[readings_per_request]
    sent = bodies(count // readings_per_request, readings_per_request)
    with product(folder, database_url, PATIENT | dict(environment or {})) as (server, key):
        before_ns, database_before_ns = server.cpu_ns(), _database_cpu_ns(database)
        answers = good(send_all(server.port, key, sent, connections=CONNECTIONS))
        return Intake(
            store=store,
            readings_per_request=readings_per_request,
            cpu_us=(server.cpu_ns() - before_ns) / 1e3 / count,
            readings_per_s=count / answers.seconds,
            database_us=(_database_cpu_ns(database) - database_before_ns) / 1e3 / count,
        )


def _database_cpu_ns(database: PostgresServer | None) -> int:
    """Processor time of all processes of a PostgreSQL that are still there."""
    if database is None:
        return 0
    pid = int((database.data / "postmaster.pid").read_text().splitlines()[0])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(cpu_ns(int(each)) for each in (pid, *children))


@contextlib.contextmanager
def _postgres() -> Iterator[tuple[PostgresServer, str]]:
    with _folder() as folder:
        folder.chmod(0o755)  # PostgreSQL runs as another user where this runs as root
        database = PostgresServer(folder / "postgres").create()
        try:
            yield database, asyncio.run(database.new_database())
        finally:
            database.stop("immediate")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as name:
        yield Path(name)
