"""What does the registry cost on a reading's path? `pipeline.accept` of 100 readings of 100 known units.

without: nobody asks the registry. with: units that stand nowhere, as they register themselves. placed: the registry
gives each reading its site. The three take turns in one run; microseconds of a whole request, the median and the
fastest tenth.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import describe
from sensorcast.model import Reading, Unit, Verdict
from sensorcast.pipeline import Pipeline
from sensorcast.registry import Registry
from sensorcast.registry.service import Items
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore

T0_US = 1_795_000_000_000_000
READINGS = 100
STORED = [Verdict.STORED] * READINGS


class Nobody:
    """Where readings go that nobody follows, and a registry that nobody asks."""

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None: ...

    async def prepare(self, organization_id: str, items: Items) -> Items:
        return items

    def registered(self, organization_id: str, stored: Sequence[Reading]) -> None: ...


class NoStore:
    """Stores at once, to show what the rest costs."""

    async def append(self, readings: Sequence[Reading]) -> list[Verdict]:
        return STORED


def request(organization_id: str, number: int) -> list[Reading]:
    """The readings of one request, unlike those of any other."""
    at_us = T0_US + number
    return [
        Reading(
            organization_id=organization_id,
            unit_id=f"unit-{place}",
            device_id=f"probe-{place}",
            recorded_at_us=at_us,
            received_at_us=at_us,
            temperature=4.25,
        )
        for place in range(READINGS)
    ]


async def measure(pipelines: dict[str, tuple[Pipeline, str]], rounds: int) -> dict[str, list[float]]:
    """Let the pipelines take turns; give the times of each, in microseconds, sorted."""
    times_us: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(rounds):
        for name, (pipeline, organization_id) in pipelines.items():
            items = request(organization_id, number)
            started = time.perf_counter()
            await pipeline.accept(organization_id, items)
            times_us[name].append((time.perf_counter() - started) * 1e6)
    return {name: sorted(taken[rounds // 10 :]) for name, taken in times_us.items()}


async def run(folder: Path) -> None:
    """Measure with SQLite, and without any store."""
    store = SqliteStore(folder / "readings.db", Settings())
    await store.open()
    places = [f"unit-{place}" for place in range(READINGS)]
    await store.add_missing(
        [Unit(organization_id="placed", unit_id=each, site_id="north", created_at_us=T0_US) for each in places]
    )
    registry, nobody = Registry(store, Settings(), time.monotonic), Nobody()
    registry.start()
    for title, kept, rounds in (("SQLite", store, 500), ("no store", NoStore(), 3_000)):
        chosen = {"without": nobody, "with": registry, "placed": registry}
        pipelines = {name: (Pipeline(kept, nobody, each), name) for name, each in chosen.items()}  # type: ignore[arg-type]
        for name, taken in (await measure(pipelines, rounds)).items():
            print(f"{title:>10}{name:>10}{statistics.median(taken):>12,.0f} us{taken[len(taken) // 10]:>12,.0f} us")
    await registry.stop()
    await store.close()


def main() -> None:
    print(__doc__)
    print(describe("sensorcast", "msgspec", "apsw"), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
