"""An organization that makes the server send too much is slowed down; the others get their batches on time."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sensorcast.hub import DELIVERY_COST_BYTES
from sensorcast.verify.socket import Socket
from tests.support.node import NodeClient
from tests.support.server import Organization, ServerProcess, reading

RATE_BYTES_PER_S = 100_000
"""So little that a slow machine floods it too; the modest organization needs less than half of it."""
DURATION_S = 4.0
ON_TIME_S = 2.0
"""Twenty flushes: what a busy machine may need, and far less than the debt of the other organization."""


async def send(client: httpx.AsyncClient, organization: Organization, *readings: dict[str, Any]) -> list[str]:
    answer = await client.post(
        f"{organization.server.url}/api/ingest/readings",
        json={"readings": readings},
        headers={"X-API-Key": organization.key},
    )
    assert answer.status_code == 200
    ids: list[str] = answer.json()["readingIds"]
    return ids


async def flood(client: httpx.AsyncClient, greedy: Organization, until_s: float) -> int:
    """Send readings as fast as they are taken; give how many."""
    devices = (f"device-{number}" for number in itertools.count())
    sent = 0
    while time.monotonic() < until_s:
        unit_ids = [f"unit-{number}" for number in range(50)] * 20
        sent += len(
            await send(client, greedy, *(reading(unit_id) | {"deviceId": next(devices)} for unit_id in unit_ids))
        )
        await asyncio.sleep(0.1)
    return sent


async def delays_s(client: httpx.AsyncClient, modest: Organization, socket: Socket, until_s: float) -> list[float]:
    """Send a reading, wait for it in a batch, again and again; give how long each took."""
    found: list[float] = []
    while time.monotonic() < until_s:
        started_s = time.monotonic()
        [reading_id] = await send(client, modest, reading())
        async with asyncio.timeout(DURATION_S + ON_TIME_S):
            while reading_id not in socket.take():
                await asyncio.sleep(0.01)
        found.append(time.monotonic() - started_s)
        await asyncio.sleep(0.1)
    return found


@pytest.mark.real_time
async def test_a_greedy_organization_is_slowed_and_the_others_are_on_time(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(flush_interval_ms=100, organization_outbound_bytes_per_s=RATE_BYTES_PER_S)
    greedy, modest = server.organization("greedy"), server.organization("modest")
    await asyncio.to_thread(lambda: (greedy.key, modest.key))  # made with a loop of their own
    sockets = [Socket(server.url, {"token": each.viewer_token}) for each in (greedy, modest)]
    async with httpx.AsyncClient(timeout=30) as client, sockets[0] as of_greedy, sockets[1] as of_modest:
        started_s = time.monotonic()
        until_s = started_s + DURATION_S
        sent, delays = await asyncio.gather(
            flood(client, greedy, until_s), delays_s(client, modest, of_modest, until_s)
        )
        received = of_greedy.take()
        elapsed_s = time.monotonic() - started_s
        stats = {each.name: each.get("/api/stats", role="owner").json() for each in (greedy, modest)}

    assert max(delays) < ON_TIME_S
    flushes = flushes_of(received)
    assert 0 < sum(batch["count"] for flush in flushes for batch in flush) < sent
    assert (stats["greedy"]["bufferedReadings"] > 0, stats["modest"]["bufferedReadings"]) == (True, 0)
    # A second's worth to begin with, what was earned since, and a last flush that goes into debt.
    largest_bytes = max(len(json.dumps(flush)) for flush in flushes) + DELIVERY_COST_BYTES
    used = stats["greedy"]["usage"]["outboundBytes"]
    assert len(received) <= used <= RATE_BYTES_PER_S * (1 + elapsed_s) + largest_bytes
    assert 0 < stats["modest"]["usage"]["outboundBytes"] < used
    assert stats["modest"]["usage"]["readings"] == len(delays)


def test_each_share_of_an_organization_is_its_own_and_is_said_in_its_usage(
    start_server: Callable[..., ServerProcess], browser_client: Callable[..., NodeClient]
) -> None:
    slow = {"organization_requests_per_s": 0.1, "organization_readings_per_s": 1.0}
    most = {"organization_requests_burst": 10, "organization_readings_burst": 1, "ingest_max_readings": 20}
    server = start_server(**slow, **most, organization_subscriptions=3, connections_per_organization=2)
    greedy, modest = server.organization("greedy"), server.organization("modest")

    clients = [browser_client(server.url, token=greedy.viewer_token).connected() for _ in range(2)]
    refused = browser_client(server.url, token=greedy.viewer_token).wait_for("connect_error")
    assert refused["data"]["code"] == "rate_limited"
    subscribed = [clients[0].call("subscribe:unit", f"unit-{number}") for number in range(3)]
    assert [each["ok"] for each in subscribed] == [True, False, False]  # two follow the organization already
    assert greedy.post(*(reading(f"unit-{number}") for number in range(20))).status_code == 200
    too_many_readings = greedy.post(*(reading(f"unit-{number}") for number in range(20)))
    while (too_many_requests := greedy.get("units")).status_code == 200:
        pass
    for answer in (too_many_readings, too_many_requests):
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) >= 1

    browser_client(server.url, token=modest.viewer_token).connected()
    assert modest.post(reading()).status_code == 200
    usage = modest.get("/api/stats", role="owner").json()["usage"]
    assert {name: usage[name] for name in ("readings", "refused", "subscriptions")} == {
        "readings": 1,
        "refused": 0,
        "subscriptions": 1,
    }


def flushes_of(received: str) -> list[list[dict[str, Any]]]:
    """Group batches by flush: one begins with a unit that is in the one before already."""
    flushes: list[list[dict[str, Any]]] = [[]]
    for message in received.split("\n"):
        if message.startswith('42["sensor:'):
            batch = json.loads(message[2:])[1]
            if batch["unitId"] in {each["unitId"] for each in flushes[-1]}:
                flushes.append([])
            flushes[-1].append(batch)
    return flushes
