"""Claims about running a fleet: the past arrives whole, live goes on while the server is away."""

from __future__ import annotations

import time

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from sensorcast.simulator import fleet, run
from sensorcast.simulator.sender import Refused, Sender

from .ingest_server import ingest_server


def _fleet(start_s: float, interval_s: float) -> fleet.Fleet:
    return fleet.build(6, seed=1, start_s=start_s, interval_s=interval_s, failing_since_s=start_s)


async def test_the_past_is_delivered_whole() -> None:
    async with ingest_server() as server, httpx.AsyncClient() as client:
        sender = Sender(client, server.url, "key")
        await run.send_past(_fleet(1_000.0, 60.0), sender, from_s=1_000.0, to_s=8_200.0, interval_s=60.0)
    assert sender.ledger.acknowledged == len(server.stored) == 6 * 120
    assert {reading["source"] for reading in server.stored} == {"import"}


async def test_live_delivers_everything_measured_although_the_server_stumbles() -> None:
    start_s = time.time()
    async with ingest_server() as server, httpx.AsyncClient() as client:
        server.script = [Response(status_code=503)]
        sender = Sender(client, server.url, "key")
        await run.send_live(_fleet(start_s, 0.05), sender, interval_s=0.05, clock=time.time, until_s=start_s + 0.8)
    assert sender.waiting == 0
    assert sender.ledger.acknowledged == sender.ledger.offered == len(server.stored) > 40


async def test_live_ends_when_the_server_refuses() -> None:
    start_s = time.time()
    async with ingest_server() as server, httpx.AsyncClient() as client:
        server.script = [JSONResponse({"error": {"message": "unknown key"}}, 401)]
        with pytest.raises(Refused, match="unknown key"):
            await run.send_live(
                _fleet(start_s, 0.05), Sender(client, server.url, "key"), interval_s=0.05, clock=time.time
            )
