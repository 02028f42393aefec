"""Charts and exports of a unit with ten million readings: how long they take, and what they do to memory.

All readings are of one unit, one a second, which is the worst there is: a chart of everything looks at every one of
them. The SQLite database is made once, in a folder that is kept and used again by the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from bench.history.filling import FIRST_US, ORGANIZATION, SECOND_US, UNIT, fill
from bench.machine import describe
from bench.servers import RunningServer, Workload, free_port, launch, running
from sensorcast.model import format_time
from sensorcast.settings import Settings
from tests.support.postgres import PostgresServer

DAY_US = 86_400_000_000
ROUNDS = 5
CHUNK_BYTES = 64 * 1024


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own, filled each time")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "sensorcast-bench-history")
    return parser.parse_args()


@contextmanager
def database(chosen: argparse.Namespace) -> Iterator[tuple[Settings, Path]]:
    """Give the settings of the database, and the folder whose size is its size."""
    chosen.folder.mkdir(exist_ok=True)
    settings = Settings(data=str(chosen.folder / "data"))
    if not chosen.postgres:
        yield settings, chosen.folder / "data"
        return
    chosen.folder.chmod(0o755)  # PostgreSQL runs as another user where this runs as root
    server = PostgresServer(chosen.folder / "postgres").create()
    try:
        yield replace(settings, database_url=asyncio.run(server.new_database())), server.data
    finally:
        server.stop("immediate")


@contextmanager
def product(folder: Path, settings: Settings) -> Iterator[tuple[RunningServer, str, str]]:
    """Run the product on the database; give it, its address, and a token."""
    port = free_port()
    plan = launch("sensorcast", Workload(1, 1, 1), port=port, folder=folder, event_bytes=0)
    plan = replace(plan, environment={**plan.environment, "SENSORCAST_DATABASE_URL": settings.database_url})
    with running(plan, port=port, folder=folder) as server:
        token = plan.connect_payloads[0].split('"')[3]
        yield server, f"http://127.0.0.1:{port}/api/orgs/{ORGANIZATION}/units/{UNIT}", token


def read(address: str, token: str) -> int:
    """Get all of an answer, keeping nothing; give its size."""
    size = 0
    with urlopen(Request(address, headers={"Authorization": f"Bearer {token}"}), timeout=600) as answer:
        while part := answer.read(CHUNK_BYTES):
            size += len(part)
    return size


def timed(work: Callable[[], int]) -> tuple[int, float]:
    started_s = time.perf_counter()
    return work(), time.perf_counter() - started_s


def charts(address: str, token: str, count: int) -> None:
    """Print how long charts of 500 points take, the first time and after that."""
    end_us = FIRST_US + count * SECOND_US
    for name, start_us in (("everything", FIRST_US), ("30 days", end_us - 30 * DAY_US), ("a day", end_us - DAY_US)):
        query = urlencode({"start": format_time(max(start_us, FIRST_US)), "end": format_time(end_us), "points": 500})
        times_s = [timed(lambda: read(f"{address}/series?{query}", token))[1] for _ in range(ROUNDS)]  # noqa: B023
        print(f"chart of {name:<12} first {times_s[0] * 1e3:>8,.0f} ms, then {min(times_s[1:]) * 1e3:>8,.0f} ms")


def exports(server: RunningServer, address: str, token: str, count: int) -> None:
    """Print how fast everything is exported, and by how much the memory of the server has grown by then."""
    for extension in ("csv", "ndjson"):
        before_bytes = server.rss_bytes()
        size_bytes, seconds = timed(lambda: read(f"{address}/readings.{extension}", token))  # noqa: B023
        growth_mib = (server.rss_bytes() - before_bytes) / 2**20
        print(
            f"export as {extension:<9} {size_bytes / 2**20:>8,.0f} MiB, {count / seconds:>9,.0f} readings/s, "
            f"memory of the server {growth_mib:+.1f} MiB",
            flush=True,
        )


def main() -> None:
    chosen = arguments()
    print(describe("sensorcast", "apsw", "asyncpg", "msgspec"))
    with database(chosen) as (settings, folder):
        _, seconds = timed(lambda: asyncio.run(fill(settings, chosen.readings)) or 0)
        size_mib = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        print(f"database {chosen.readings:,} readings, {size_mib:,.0f} MiB, made ready in {seconds:.0f} s", flush=True)
        with product(chosen.folder, settings) as (server, address, token):
            charts(address, token, chosen.readings)
            exports(server, address, token, chosen.readings)


if __name__ == "__main__":
    main()
