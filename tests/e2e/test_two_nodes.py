"""Two nodes, one PostgreSQL, one Redis: whichever node takes a reading in, every dashboard gets it once, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nginx import nginx_before
from tests.support.node import NodeClient
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import reading
from tests.support.two_nodes import (
    TwoNodes,
    assert_once_and_in_order,
    latest_of,
    readiness,
    stored_latest,
)
from tests.support.waiting import wait_until

UNHURRIED_MS = 1_500
"""Interval in which a busy machine forwards in time what an idle one forwards in a few milliseconds."""


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, shared_redis: RedisServer
) -> Iterator[TwoNodes]:
    nodes = TwoNodes.start(tmp_path_factory.mktemp("nodes"), postgres, shared_redis.url)
    yield nodes
    nodes.close()


@pytest.fixture
def unhurried(tmp_path: Path, postgres: PostgresServer, shared_redis: RedisServer) -> Iterator[TwoNodes]:
    nodes = TwoNodes.start(tmp_path, postgres, shared_redis.url, flush_interval_ms=UNHURRIED_MS)
    yield nodes
    nodes.close()


def test_gateways_alternate_between_nodes_and_each_dashboard_gets_each_reading_once_and_in_order(
    unhurried: TwoNodes, browser_client
) -> None:
    organization = unhurried.organization()
    clients = [browser_client(each.server.url, token=each.viewer_token).connected() for each in organization]
    sent: list[str] = []
    for gateway in organization:  # first it has to be known that the units come in at both
        sent += gateway.post(*(reading(f"unit-{unit}") for unit in range(3))).json()["readingIds"]
        wait_for_all(clients, sent)
    began_s = time.monotonic()
    for number in range(60):
        answer = organization[number % 2].post(*(reading(f"unit-{unit}") for unit in range(3)))
        sent += answer.json()["readingIds"]
        time.sleep(0.05)  # several intervals, each with readings right before its end
    wait_for_all(clients, sent)
    intervals = (time.monotonic() - began_s) * 1_000 / UNHURRIED_MS
    for client in clients:
        assert_once_and_in_order(client, sent)
        assert len(client.batches()) <= 3 * (intervals + 6)  # one batch of a unit per interval, whoever sent what


def wait_for_all(clients: list[NodeClient], sent: list[str]) -> None:
    for client in clients:
        wait_until(lambda client=client: len(client.readings()) >= len(sent), within_s=30, what="every reading")


@pytest.mark.real_time
def test_a_reading_of_one_node_is_the_latest_on_the_other_within_a_flush(cluster, browser_client) -> None:
    one, two = cluster.organization()
    client = browser_client(two.server.url, token=two.viewer_token).connected()
    assert client.call("get:latest", "unit-1") is None
    [reading_id] = one.post(reading()).json()["readingIds"]
    posted_s = time.monotonic()
    wait_until(lambda: (client.call("get:latest", "unit-1") or {}).get("id") == reading_id, within_s=30, what="latest")
    assert time.monotonic() - posted_s < 2.0  # 0.2 s on a machine with nothing else to do
    assert client.wait_for_reading(reading_id)


def test_the_first_dashboard_of_a_node_finds_what_the_other_node_took_in_before(cluster, browser_client) -> None:
    one, two = cluster.organization()
    ids = one.post(*(reading(f"unit-{number}") for number in range(30))).json()["readingIds"]
    client = browser_client(two.server.url, token=two.viewer_token)
    assert sorted(latest_of(client.connected()).values()) == sorted(ids)


def test_a_node_that_starts_warms_itself_from_the_store(cluster, browser_client, tmp_path: Path) -> None:
    one, _two = cluster.organization()
    one.post(*(reading(f"unit-{number}") for number in range(5)))
    three = cluster.another(tmp_path)
    try:
        organization = three.organization(one.name)
        client = browser_client(three.url, token=organization.viewer_token).connected()
        assert latest_of(client) == stored_latest(organization)
        [reading_id] = one.post(reading("unit-2")).json()["readingIds"]
        client.wait_for_reading(reading_id)
    finally:
        three.close()


def test_other_tenants_hear_nothing_of_it(cluster, browser_client) -> None:
    ours, theirs = cluster.organization(), cluster.organization()
    foreign = browser_client(theirs[1].server.url, token=theirs[1].viewer_token).connected()
    own = browser_client(ours[1].server.url, token=ours[1].viewer_token).connected()
    [reading_id] = ours[0].post(reading()).json()["readingIds"]
    own.wait_for_reading(reading_id)
    [their_id] = theirs[0].post(reading()).json()["readingIds"]
    foreign.wait_for_reading(their_id)
    assert [item["id"] for item in foreign.readings()] == [their_id]


def test_each_node_lists_both(cluster) -> None:
    for each in cluster.organization():
        wait_until(
            lambda each=each: {node["name"] for node in nodes_of(each)} >= {"one", "two"},
            within_s=30,
            what="both nodes",
        )
        assert [node["name"] for node in nodes_of(each) if node["self"]] == [each.server.settings["node_name"]]
        assert all(node["sinceS"] >= 0 for node in nodes_of(each))
        assert readiness(each.server) == (200, [])


def nodes_of(organization) -> list[dict[str, object]]:
    return organization.get("/api/stats", role="admin").json()["nodes"]


def test_what_is_no_message_of_ours_is_counted_and_changes_nothing(
    cluster, browser_client, shared_redis: RedisServer
) -> None:
    one, two = cluster.organization()
    client = browser_client(two.server.url, token=two.viewer_token).connected()
    client.call("get:latest:all")
    channel = f"{two.server.settings['redis_prefix']}:org:{two.name}"
    for junk in (b"hello", b"\x80\x04\x95pickle", b"\x01" + bytes(40), bytes(1_100_000)):
        assert shared_redis.command("SPUBLISH", channel, junk) == 1
    [reading_id] = one.post(reading()).json()["readingIds"]
    client.wait_for_reading(reading_id)
    ignored = {
        line.split('"')[1]: float(line.split()[-1])
        for line in two.server.http.get("/metrics").text.splitlines()
        if line.startswith("sensorcast_bus_ignored_messages_total")
    }
    assert ignored == {"foreign": 2.0, "forged": 1.0, "oversized": 1.0}
    assert len(client.readings()) == 1


@pytest.fixture
def balanced(cluster: TwoNodes, tmp_path: Path) -> Iterator[str]:
    """The address of nginx before both nodes, configured as the documentation recommends."""
    with nginx_before(cluster.nodes, tmp_path) as url:
        yield url


def test_behind_nginx_clients_poll_and_upgrade_and_hear_both_nodes(cluster, browser_client, balanced: str) -> None:
    one, two = cluster.organization()
    clients = [
        browser_client(balanced, token=one.viewer_token, transports=transports).connected()
        for transports in (["polling"], ["polling", "websocket"], ["websocket"])
    ]
    sent = [each.post(reading(f"unit-{number}")).json()["readingIds"][0] for number in range(3) for each in (one, two)]
    for client in clients:
        for reading_id in sent:
            client.wait_for_reading(reading_id)
        assert len(client.readings()) == len(sent)
