"""Claims about the demo's fleet: a day of history, then live, all through the HTTP API."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime

import pytest

from sensorcast.simulator import demo

from .ingest_server import ingest_server


async def test_a_day_of_history_arrives_before_the_present() -> None:
    async with ingest_server() as server:
        sending = asyncio.create_task(demo.send_fleet(server.url, "key", units=2, interval_s=0.1, seed=1))
        async with asyncio.timeout(30):
            while len(server.stored) < 2 * (23.5 * 60 + 360 + 5):
                await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    times = [datetime.fromisoformat(str(reading["recordedAt"])).timestamp() for reading in server.stored]
    assert times[-1] - times[0] == pytest.approx(86_400, abs=120)
    assert max(after - before for before, after in itertools.pairwise(times)) <= 61


async def test_a_proxy_for_the_outside_world_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with ingest_server() as server:
        sending = asyncio.create_task(demo.send_fleet(server.url, "key", units=1, interval_s=0.1, seed=1))
        async with asyncio.timeout(30):
            while not server.stored:
                await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
