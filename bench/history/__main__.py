"""Charts and exports of a unit with ten million readings on SQLite: how long they take, and what they do to memory.

All readings are of one unit, one a second, which is the worst there is: a chart of everything looks at every one of
them. The database is made once, in a folder that is kept and used again by the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from bench.machine import describe
from bench.servers import RunningServer, Workload, free_port, launch, running
from sensorcast.app import DATABASE_NAME, open_store
from sensorcast.model import Reading, format_time
from sensorcast.settings import Settings
from sensorcast.store.sqlite_file import open_writer

ORGANIZATION, UNIT = "org-0", "unit-0"
FIRST_US = 1_700_000_000_000_000
SECOND_US, DAY_US = 1_000_000, 86_400_000_000
ROUNDS = 5
CHUNK_BYTES = 64 * 1024
FILL = """
WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :end)
INSERT INTO readings (unit_no, recorded_at_us, device_id, organization_no, received_at_us, temperature, humidity,
battery, signal_strength, source) SELECT :unit_no, :start_us + n * 1000000, '', :organization_no,
:start_us + n * 1000000, n % 400 / 10.0 - 20, 50.5, n % 101, -70, 'api' FROM numbers
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "sensorcast-bench-history")
    return parser.parse_args()


def fill(folder: Path, count: int) -> None:
    """Make the database unless it is there, straight in SQL: only reading is measured here."""
    path = folder / "data" / DATABASE_NAME
    if not path.exists():
        asyncio.run(_begin(Settings(data=str(folder / "data"))))
    connection = open_writer(path, 1_000)
    connection.pragma("wal_autocheckpoint", 4_000)
    organization_no, unit_no = next(connection.execute("SELECT organization_no, unit_no FROM units"))
    known = int(connection.execute("SELECT count(*) FROM readings").get)
    place = {"organization_no": organization_no, "unit_no": unit_no, "start_us": FIRST_US}
    for first in range(known, count, 100_000):
        connection.execute(FILL, place | {"first": first, "end": min(first + 100_000, count)})
    connection.close()


async def _begin(settings: Settings) -> None:
    """Let the product make the schema, the organization and the unit, with the first reading."""
    store = open_store(settings)
    await store.open()
    await store.append(
        [
            Reading(
                organization_id=ORGANIZATION,
                unit_id=UNIT,
                recorded_at_us=FIRST_US,
                received_at_us=FIRST_US,
                temperature=0.0,
            )
        ]
    )
    await store.close()


@contextmanager
def product(folder: Path) -> Iterator[tuple[RunningServer, str, str]]:
    """Run the product on the database; give it, its address, and a token."""
    port = free_port()
    plan = launch("sensorcast", Workload(1, 1, 1), port=port, folder=folder, event_bytes=0)
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
    print(describe("sensorcast", "apsw", "msgspec"))
    _, seconds = timed(lambda: fill(chosen.folder, chosen.readings) or 0)
    size_mib = (chosen.folder / "data" / DATABASE_NAME).stat().st_size / 2**20
    print(f"database {chosen.readings:,} readings, {size_mib:,.0f} MiB, made ready in {seconds:.0f} s", flush=True)
    with product(chosen.folder) as (server, address, token):
        charts(address, token, chosen.readings)
        exports(server, address, token, chosen.readings)


if __name__ == "__main__":
    main()
