"""Clients that do not read, end to end: a real server, real sockets with tiny buffers, bounds lowered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.server import Organization, ServerProcess, reading
from tests.support.slow_client import SlowClient
from tests.support.waiting import wait_until

BATCH = "sensor:readings:batch"
UNITS = 40
KIB = 1_024
PATIENT = {
    "flush_interval_ms": 20,
    "outbound_soft_bytes": 16 * KIB,
    "outbound_hard_bytes": 512 * KIB,
    "outbound_stall_s": 60,
    "ingest_requests_per_s": 10_000,
    "ingest_burst_requests": 10_000,
    "client_events_per_s": 1_000,
    "client_events_burst": 1_000,
}
Connect = Callable[..., SlowClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients: list[SlowClient] = []

    def connect(organization: Organization, **auth: Any) -> SlowClient:
        clients.append(SlowClient(organization, **auth))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


class Feed:
    """Sends one reading of each unit a round, with a value that says which round it was."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.rounds = itertools.count(1)
        self.last = 0

    def send(self) -> None:
        self.last = next(self.rounds)
        # Long names of metrics make long batches.
        values = {"metrics": {f"{place:_>60}": self.last for place in range(10)}}
        answer = self.organization.post(*(reading(f"u{unit}", **values) for unit in range(UNITS)))
        assert answer.json()["insertedCount"] == UNITS

    def send_until(self, satisfied: Callable[[], object], what: str) -> None:
        def sent() -> object:
            self.send()
            return satisfied()

        wait_until(sent, within_s=30, what=what)


def metric(server: ServerProcess, name: str) -> float:
    """The value of a metric; 0 for a label that has not been used."""
    lines = server.http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def rounds_by_unit(client: SlowClient) -> dict[str, int]:
    """The round of the last reading of each unit that arrived."""
    last = {}
    for batch in client.arguments(BATCH):
        last[batch["unitId"]] = int(next(iter(batch["readings"][-1]["metrics"].values())))
    return last


def test_a_client_that_stops_reading_is_conflated_told_once_and_has_the_newest_state_when_it_reads_on(
    start_server: Callable[..., ServerProcess], connect: Connect
) -> None:
    server = start_server(**PATIENT)
    organization = server.organization()
    client, feed = connect(organization), Feed(organization)
    feed.send_until(lambda: metric(server, "sensorcast_batches_conflated_total") > 5 * UNITS, "batches are conflated")
    for number in range(20):
        client.ask(number, "ping")
    feed.send()
    wait_until(
        lambda: organization.get("units/u0/latest").json()["metrics"].popitem()[1] == feed.last,
        within_s=30,
        what="the last round is stored",
    )
    client.read_until(lambda: "stream:restored" in client.names, within_s=30)
    client.read_until(lambda: rounds_by_unit(client).get("u0") == feed.last, within_s=30)
    assert client.names.count("stream:degraded") == client.names.count("stream:restored") == 1
    [degraded], [restored] = client.arguments("stream:degraded"), client.arguments("stream:restored")
    assert degraded["since"] == restored["since"] <= restored["until"]
    assert degraded["reason"] == "slow"
    assert client.acks == list(range(20))
    assert rounds_by_unit(client) == {f"u{unit}": feed.last for unit in range(UNITS)}
    assert len(client.arguments(BATCH)) < feed.last * UNITS
    numbers = [batch["seq"] for batch in client.arguments(BATCH)]
    assert len(numbers) == len(set(numbers))


def test_a_client_without_progress_is_cut_and_the_others_get_everything(
    start_server: Callable[..., ServerProcess], connect: Connect
) -> None:
    server = start_server(**PATIENT | {"outbound_stall_s": 1})
    organization = server.organization()
    stalled, reading_on, feed = connect(organization), connect(organization), Feed(organization)

    def is_cut() -> bool:
        reading_on.read_until(lambda: rounds_by_unit(reading_on).get("u0", 0) >= feed.last, within_s=30)
        return metric(server, 'sensorcast_clients_cut_total{bound="stall"}') == 1

    feed.send_until(is_cut, "the stalled client is cut")
    stalled.read_to_end(within_s=30)
    assert "stream:restored" not in stalled.names
    assert "stream:degraded" not in reading_on.names
    reading_on.read_until(lambda: len(reading_on.arguments(BATCH)) == feed.last * UNITS, within_s=30)


def test_a_client_owed_more_acknowledgements_than_the_hard_limit_is_cut(
    start_server: Callable[..., ServerProcess], connect: Connect
) -> None:
    server = start_server(**PATIENT | {"outbound_hard_bytes": 64 * KIB})
    organization = server.organization()
    client, feed = connect(organization, stream="units"), Feed(organization)
    feed.send()

    def is_cut() -> bool:
        try:
            for number in range(100):
                client.ask(number, "get:latest", "u1")
        except (BrokenPipeError, ConnectionResetError):
            return True
        return metric(server, 'sensorcast_clients_cut_total{bound="bytes"}') == 1

    wait_until(is_cut, within_s=30, what="the client is cut")
    client.read_to_end(within_s=30)
    assert metric(server, 'sensorcast_clients_cut_total{bound="bytes"}') == 1


def test_a_client_may_ask_for_the_latest_of_20_000_units(
    start_server: Callable[..., ServerProcess], connect: Connect
) -> None:
    server = start_server(outbound_hard_bytes=512 * KIB, flush_interval_ms=50)
    organization = server.organization()
    for first in range(0, 20_000, 2_500):
        organization.post(*(reading(f"u{unit}") for unit in range(first, first + 2_500)))
    client = connect(organization, stream="units")
    client.ask(1, "get:latest:all")
    client.ask(2, "ping")
    client.read_until(lambda: client.acks == [1, 2], within_s=30)
    assert metric(server, "sensorcast_clients_cut_total") == 0


def test_a_client_that_asks_for_everything_again_and_again_before_it_reads_is_refused_and_not_cut(
    start_server: Callable[..., ServerProcess], connect: Connect
) -> None:
    server = start_server(**PATIENT)
    organization = server.organization()
    for first in range(0, 10_000, 2_500):
        organization.post(*(reading(f"u{unit}") for unit in range(first, first + 2_500)))
    client = connect(organization, stream="units")
    for number in range(20):
        client.ask(number, "get:latest:all")
    refused = "sensorcast_client_events_refused_total"
    wait_until(lambda: metric(server, refused) > 0, within_s=30, what="an answer is refused")
    client.read_until(lambda: client.acks == list(range(20)), within_s=60)
    client.ask(20, "get:latest:all")
    client.read_until(lambda: client.acks[-1] == 20, within_s=30)
    assert metric(server, "sensorcast_clients_cut_total") == 0


def test_what_all_clients_together_are_owed_is_bounded(
    start_server: Callable[..., ServerProcess], connect: Connect
) -> None:
    server = start_server(**PATIENT | {"outbound_total_max_bytes": 48 * KIB})
    organization = server.organization()
    stalled, feed = [connect(organization) for _ in range(4)], Feed(organization)
    feed.send_until(
        lambda: metric(server, 'sensorcast_clients_cut_total{bound="total"}') >= 1, "somebody is cut for the sum"
    )
    wait_until(
        lambda: metric(server, "sensorcast_outbound_unsent_bytes") <= 48 * KIB, within_s=30, what="the sum is within"
    )
    assert len(stalled) > metric(server, 'sensorcast_clients_cut_total{bound="total"}')
    assert server.http.get("/readyz").status_code == 200
