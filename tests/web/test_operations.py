"""Claims about health, readiness, statistics and metrics."""

from __future__ import annotations

from sensorcast import __version__
from sensorcast.model import Role

from .conftest import Door


async def test_health_needs_no_credential(door: Door) -> None:
    answer = await door.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})


async def test_readiness_turns_503_with_the_reasons(door: Door) -> None:
    assert (await door.client.get("/readyz")).json() == {"ready": True, "reasons": []}
    door.reasons.append("the disk is full")
    answer = await door.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["the disk is full"]})


async def test_statistics_are_those_of_the_own_organization(door: Door) -> None:
    await door.store_readings("fridge-a", [0])
    for organization_id, times in (("acme", 1), ("globex", 5)):
        await door.store_readings("fridge-b", range(times), organization_id)
        for reading in await door.store.units(organization_id, after=None, limit=9):
            door.service.add_reading(organization_id, reading)
    door.connections.update(acme=3, globex=8)
    assert (await door.get("/api/stats", token=door.token(role=Role.ADMIN))).json() == {
        "bufferedReadings": 2,
        "cachedUnits": 2,
        "bufferKeys": 2,
        "connections": 3,
        "usage": {"requests": 1, "readings": 0, "outboundBytes": 0, "refused": 0, "subscriptions": 0},
        "flush": {"readings": 0, "units": 0, "durationMs": 0.0},
        "nodes": [{"name": "here", "origin": "a1", "sinceS": 5.0, "self": True}],
    }


async def test_metrics_are_in_the_prometheus_text_format(door: Door) -> None:
    answer = await door.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE sensorcast_flush_seconds histogram" in answer.text
