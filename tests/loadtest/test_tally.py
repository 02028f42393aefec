"""The counts of a load test: deliveries once, duplicates, losses, delays, and what belongs to others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sensorcast.loadtest.connection import Connection, Target
from sensorcast.loadtest.tally import METRIC, Tally

PREFIX = "loadtest-1-"


def batch(*numbers: int, unit: str = PREFIX + "0") -> bytes:
    return json.dumps(
        {"unitId": unit, "readings": [{"id": "x", "metrics": {METRIC: each}} for each in numbers]}
    ).encode()


@pytest.fixture
async def connections() -> list[Connection]:
    return [Connection(Target("h", 1, False), "t", lambda connection, payload: None) for _ in range(2)]


@pytest.fixture
def tally() -> Tally:
    """Ten readings sent at second 0 and accepted."""
    tally = Tally(PREFIX)
    tally.accepted.update(tally.take_numbers(10, 0.0))
    return tally


def test_numbers_go_on(tally: Tally) -> None:
    assert tally.take_numbers(3, 1.0) == range(10, 13)
    assert tally.sent == 13


async def test_each_delivery_counts_once_for_each_connection(tally: Tally, connections: list[Connection]) -> None:
    for connection in connections:
        tally.arrived(connection, batch(*range(10)), 0.5)
    tally.arrived(connections[0], batch(3, 4), 0.6)
    report = tally.report(connections, seconds=1.0, server_cpu=None)
    assert (report.expected, report.delivered, report.lost, report.duplicates) == (20, 20, 0, 2)


async def test_what_did_not_come_is_lost(tally: Tally, connections: list[Connection]) -> None:
    tally.arrived(connections[0], batch(*range(9)), 0.5)
    assert tally.report(connections, seconds=1.0, server_cpu=0.5).lost == 1 + 10


async def test_a_reading_that_was_not_accepted_is_not_missed(tally: Tally, connections: list[Connection]) -> None:
    tally.take_numbers(2, 0.0)
    for connection in connections:
        tally.arrived(connection, batch(*range(9), 10), 0.5)
    assert tally.missing(connections) == 2


@pytest.mark.parametrize(
    "payload",
    [batch(1, unit="other-1"), batch(99), batch(-1), b'{"unitId":"loadtest-1-0","readings":[{"metrics":null},{}]}'],
    ids=["other unit", "never sent", "negative", "no number"],
)
async def test_what_others_sent_is_not_looked_at(tally: Tally, connections: list[Connection], payload: bytes) -> None:
    tally.arrived(connections[0], payload, 0.5)
    assert (tally.delivered, tally.duplicates) == (0, 0)


@pytest.mark.parametrize(("share", "delay_ms"), [(0.5, 50), (0.9, 90), (0.99, 100), (1.0, 100)])
async def test_percentiles_are_those_of_the_delays(
    tally: Tally, connections: list[Connection], share: float, delay_ms: float
) -> None:
    for number in range(10):
        tally.arrived(connections[0], batch(number), (number + 1) / 100)
    assert tally.percentile_ms(share) == delay_ms


def test_without_a_delivery_there_is_no_delay(tally: Tally) -> None:
    assert tally.percentile_ms(0.99) == 0


async def test_what_is_later_than_a_minute_counts_as_a_minute(tally: Tally, connections: list[Connection]) -> None:
    tally.arrived(connections[0], batch(0), 3_600.0)
    assert tally.percentile_ms(1.0) == 60_000


async def test_many_different_batches_are_not_kept(tally: Tally, connections: list[Connection]) -> None:
    tally.take_numbers(10_000, 0.0)
    for number in range(10_000):
        tally.arrived(connections[0], batch(number), 0.1)
    kept: Any = tally._numbers_of
    assert len(kept) < 5_000
    assert tally.delivered == 10_000
