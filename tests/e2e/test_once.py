"""A reading that comes again, or late: stored and sent once, and nobody waits for a backfill."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.node import NodeClient
from tests.support.postgres import PostgresServer
from tests.support.server import Organization, ServerProcess, reading

TIMES = 24
SENDERS = 8
BACKFILL, A_FLUSH = 3_000, 50
HOUR_US = 3_600_000_000


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., ServerProcess]) -> ServerProcess:
    settings: dict[str, object] = {"flush_interval_ms": 100, "late_per_flush": A_FLUSH}
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        settings["database_url"] = asyncio.run(postgres.new_database())
    return start_server(**settings)


def send_often(organization: Organization, *readings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Send the same readings many times, several at once; give the verdicts."""
    with ThreadPoolExecutor(SENDERS) as senders:
        answers = list(senders.map(lambda _: organization.post(*readings), range(TIMES)))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


def sums(verdicts: list[dict[str, Any]]) -> tuple[int, int]:
    return sum(each["insertedCount"] for each in verdicts), sum(each["duplicateCount"] for each in verdicts)


def test_a_reading_sent_often_at_once_and_after_a_crash_is_stored_and_sent_once(
    server: ServerProcess, browser_client: Callable[..., NodeClient]
) -> None:
    acme = server.organization("acme")
    client = browser_client(server.url, token=acme.viewer_token, reconnectionDelay=50).connected()
    by_key, by_id = reading("by-key", deviceId="d", temperature=1.0), reading("by-id") | {"id": str(uuid.uuid4())}
    first = send_often(acme, by_key, by_id)
    assert sums(first) == (2, 2 * TIMES - 2)
    client.wait_for_reading(by_id["id"])
    server.kill()
    seen = len(client.seen)
    server.restart()
    client.wait_for_event("connection:ack", within_s=30, after=seen)
    again = send_often(acme, by_key, by_id)
    assert sums(again) == (0, 2 * TIMES)
    assert {tuple(each["readingIds"]) for each in first + again} == {tuple(first[0]["readingIds"])}

    [last_id] = acme.post(reading("last")).json()["readingIds"]
    client.wait_for_reading(last_id)
    assert Counter(each["id"] for each in client.readings()) == Counter([*first[0]["readingIds"], last_id])
    [conflict] = acme.post(by_key | {"temperature": 2.0}).json()["rejected"]
    assert conflict["code"] == "conflict"


def test_a_backfill_is_marked_late_moves_nothing_back_and_holds_up_nobody(
    server: ServerProcess, browser_client: Callable[..., NodeClient]
) -> None:
    acme = server.organization("acme")
    client = browser_client(server.url, token=acme.viewer_token).connected()
    now_us = time.time_ns() // 1_000
    [newest_id] = acme.post(reading("unit", at_us=now_us)).json()["readingIds"]
    client.wait_for_reading(newest_id)
    old = [reading("unit", at_us=now_us - HOUR_US + place) for place in range(BACKFILL)]
    old_ids = acme.post(*old).json()["readingIds"]
    [live_id] = acme.post(reading("other")).json()["readingIds"]

    client.wait_for_reading(live_id)
    for reading_id in (old_ids[0], old_ids[-1]):
        client.wait_for_reading(reading_id, within_s=60)
    assert [each["id"] for each in client.readings()].index(live_id) < BACKFILL
    backfilled = [each for each in client.readings() if each["id"] in set(old_ids)]
    assert [each["id"] for each in backfilled] == old_ids
    assert all(each["late"] for each in backfilled)
    assert client.call("get:latest", "unit")["id"] == newest_id
