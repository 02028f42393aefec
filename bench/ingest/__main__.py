"""Readings a second over HTTP, beside what they are compared with, in the same run.

a  SQLite, 100 readings a request, 16 connections, beside a bare apsw loop that commits the same rows by 1,000
b  SQLite, one reading a request, 64 connections, beside a raw ASGI endpoint that only decodes and answers
c  as a, beside the same endpoint written the usual way: FastAPI, pydantic, SQLAlchemy, SQLite
d  PostgreSQL, 100 readings a request, beside a bare asyncpg COPY loop that commits as many of the same rows at a time

The server, or the bare loop, has the first core; the load client, and PostgreSQL, the second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.ingest.client import Answers, send_all
from bench.ingest.workload import ORGANIZATION, bodies
from bench.machine import describe
from bench.servers import CLIENT_CORE, ROOT, SERVER_CORE, Launch, RunningServer, free_port, prepare_process, running
from sensorcast.app import open_store
from sensorcast.auth import new_api_key
from sensorcast.settings import Settings
from tests.support.postgres import PostgresServer

NO_QUOTA = {
    f"SENSORCAST_{name}": "1000000000"
    for name in (
        *("INGEST_REQUESTS_PER_S", "INGEST_BURST_REQUESTS", "ORGANIZATION_REQUESTS_PER_S"),
        *("ORGANIZATION_REQUESTS_BURST", "ORGANIZATION_READINGS_PER_S", "ORGANIZATION_READINGS_BURST"),
    )
}
PACKAGES = ("sensorcast", "apsw", "asyncpg", "uvicorn", "msgspec", "fastapi", "pydantic", "sqlalchemy")


@dataclass(frozen=True)
class Row:
    """One comparison: what the product does, what it is compared with, and the ratio that is wanted."""

    name: str
    unit: str
    ours: float
    theirs: float
    wanted: float
    answers: Answers

    def __str__(self) -> str:
        ratio = self.ours / self.theirs
        verdict = "ok" if ratio >= self.wanted else "MISSED"
        p50, p99 = self.answers.percentile_ms(0.50), self.answers.percentile_ms(0.99)
        return (
            f"{self.name:<44} {self.ours:>9,.0f} {self.theirs:>9,.0f} {self.unit:<10} {ratio:>6.2f} "
            f"(wanted {self.wanted:g}: {verdict})  p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list("abcd"), metavar="part", help="a, b, c, d; all of them")
    parser.add_argument("--rounds", type=int, default=3, help="of each part, in turns; the middle ratio is shown")
    parser.add_argument("--readings", type=int, default=200_000, help="readings of each part with 100 a request")
    parser.add_argument("--requests", type=int, default=30_000, help="requests of the part with one reading each")
    return parser.parse_args()


@contextmanager
def product(
    folder: Path, database_url: str = "", more: Mapping[str, str] | None = None
) -> Iterator[tuple[RunningServer, str]]:
    """Run the product, with `more` in its environment; give it and an API key."""
    settings, port = Settings(data=str(folder / "data"), database_url=database_url), free_port()
    key = asyncio.run(_new_key(settings))
    command = [sys.executable, "-m", "sensorcast", "serve", "--port", str(port), "--data", settings.data]
    environment = NO_QUOTA | {
        "SENSORCAST_DATABASE_URL": database_url,
        "SENSORCAST_LOG_LEVEL": "warning",
        **(more or {}),
    }
    with running(Launch(command, [], environment), port=port, folder=folder) as server:
        yield server, key


async def _new_key(settings: Settings) -> str:
    store = open_store(settings)
    await store.open()
    record, text = new_api_key(ORGANIZATION, "bench", 1)
    await store.create_key(record)
    await store.close()
    return text


@contextmanager
def peer(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Run one of the applications of `bench.peers` on uvicorn; give its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"bench.peers.{name}:app", "--port", str(port), "--no-access-log"]
    with running(Launch([*command, "--log-level", "warning"], [], environment), port=port, folder=folder):
        yield port


def bare_loop(kind: str, place: str, count: int, batch: int = 1_000) -> float:
    """Run a bare loop on the server's core; give its rows a second."""
    command = [sys.executable, "-m", "bench.ingest.bare_loops", kind, place, str(count), str(batch)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, preexec_fn=lambda: prepare_process(SERVER_CORE)
    )
    return float(done.stdout)


def readings_per_commit(port: int) -> float:
    """Ask the product how many readings shared a commit, on average."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    total, commits = (
        float(line.rpartition(" ")[2])
        for end in ("sum", "count")
        for line in text.splitlines()
        if line.startswith(f"sensorcast_store_commit_readings_{end} ")
    )
    return total / commits


def good(answers: Answers) -> Answers:
    """Refuse to compare anything but success."""
    assert set(answers.statuses) == {200}, answers.statuses
    return answers


def part_a(folder: Path, chosen: argparse.Namespace) -> Row:
    sent = bodies(chosen.readings // 100, 100)
    with product(folder) as (server, key):
        answers = good(send_all(server.port, key, sent, connections=16))
    bare = bare_loop("sqlite", str(folder), chosen.readings)
    return Row("a SQLite / bare apsw loop", "readings/s", chosen.readings / answers.seconds, bare, 0.5, answers)


def part_b(folder: Path, chosen: argparse.Namespace) -> Row:
    sent = bodies(chosen.requests, 1)
    with product(folder) as (server, key):
        answers = good(send_all(server.port, key, sent, connections=64))
    with peer("raw_asgi", folder, {}) as port:
        raw = good(send_all(port, "none", sent, connections=64))
    ours, theirs = chosen.requests / answers.seconds, chosen.requests / raw.seconds
    return Row("b SQLite, single readings / raw ASGI", "requests/s", ours, theirs, 0.5, answers)


def part_c(folder: Path, chosen: argparse.Namespace) -> Row:
    sent = bodies(chosen.readings // 100, 100)
    with product(folder) as (server, key):
        answers = good(send_all(server.port, key, sent, connections=16))
    few = sent[: len(sent) // 10]  # a tenth of it takes as long
    with peer("usual_way", folder, {"DATABASE": str(folder / "usual.db")}) as port:
        usual = good(send_all(port, "any", few, connections=16))
    ours, theirs = chosen.readings / answers.seconds, len(few) * 100 / usual.seconds
    return Row("c SQLite / FastAPI, pydantic, SQLAlchemy", "readings/s", ours, theirs, 10, answers)


def part_d(folder: Path, chosen: argparse.Namespace) -> Row:
    sent = bodies(chosen.readings // 100, 100)
    folder.chmod(0o755)  # PostgreSQL runs as another user where this runs as root
    database = PostgresServer(folder / "postgres").create()
    try:
        with product(folder, asyncio.run(database.new_database())) as (server, key):
            answers = good(send_all(server.port, key, sent, connections=32))
            batch = round(readings_per_commit(server.port))
        bare = bare_loop("postgres", asyncio.run(database.new_database()), chosen.readings, batch)
    finally:
        database.stop("immediate")
    ours = chosen.readings / answers.seconds
    return Row("d PostgreSQL / bare asyncpg COPY loop", "readings/s", ours, bare, 0.7, answers)


def middle(part: str, folder: Path, chosen: argparse.Namespace) -> Row:
    """Run a part several times, ours and theirs in turns, because the machine's speed changes; give the middle one."""
    measure = {"a": part_a, "b": part_b, "c": part_c, "d": part_d}[part]
    rows = []
    for number in range(chosen.rounds):
        (folder / str(number)).mkdir()
        folder.chmod(0o755)  # PostgreSQL runs as another user where this runs as root
        rows.append(measure(folder / str(number), chosen))
    return sorted(rows, key=lambda row: row.ours / row.theirs)[len(rows) // 2]


def main() -> None:
    chosen = arguments()
    # Everything this process starts begins on its core; the server is moved to its own.
    os.sched_setaffinity(0, {CLIENT_CORE})
    print(describe(*PACKAGES))
    print(f"{'':<44} {'ours':>9} {'theirs':>9} {'':<10} {'ratio':>6}")
    for part in chosen.parts:
        with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder:
            print(middle(part, Path(folder), chosen), flush=True)


if __name__ == "__main__":
    main()
