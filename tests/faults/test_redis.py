"""Redis that dies, freezes, is cut off or cuts us off: nothing local changes, it is said, and nothing stays missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from tests.support.blackhole import Blackhole
from tests.support.node import NodeClient
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import Organization, ServerProcess, reading
from tests.support.two_nodes import TwoNodes, latest_of, shown, stored_latest, wait_degraded, wait_ready
from tests.support.waiting import wait_until

BACK_WITHIN_S = 8.0
"""It takes less than one second on a machine with nothing else to do."""

pytestmark = pytest.mark.real_time


@dataclass
class Faulty:
    """Two nodes, and everything that can be done to their Redis."""

    cluster: TwoNodes
    redis: RedisServer
    blackhole: Blackhole


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Faulty]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    with Blackhole(server.port) as blackhole:
        url = f"redis://127.0.0.1:{blackhole.own_port}/0"
        cluster = TwoNodes.start(tmp_path_factory.mktemp("nodes"), postgres, url)
        yield Faulty(cluster, server, blackhole)
        cluster.close()
    server.stop()


@dataclass
class Watched:
    """An organization on both nodes, with a dashboard on the second one."""

    one: Organization
    two: Organization
    client: NodeClient

    def local_readings_stream_on(self) -> None:
        """What the second node takes in reaches its dashboard as ever; the first one takes readings as ever."""
        [local] = self.two.post(reading("local")).json()["readingIds"]
        self.client.wait_for_reading(local)
        answer = self.one.post(reading("remote", temperature=1.0), reading("new", temperature=2.0))
        assert answer.json()["insertedCount"] == 2

    def is_as_good_as_the_store(self) -> None:
        """The dashboard was told, and shows what the store has."""
        degraded = self.client.wait_for_event("stream:degraded")["args"][0]
        restored = self.client.wait_for_event("stream:restored", within_s=BACK_WITHIN_S)["args"][0]
        assert degraded["since"] == restored["since"] < restored["until"]
        assert degraded["reason"] == "bus"
        stored = stored_latest(self.two)
        assert latest_of(self.client) == stored
        wait_until(lambda: shown(self.client) == stored, within_s=30, what="the dashboard shows what is stored")
        ids = [item["id"] for item in self.client.readings()]
        assert len(ids) == len(set(ids))

    def messages_pass_again(self) -> None:
        """A reading of the first node reaches the dashboard on the second."""
        [reading_id] = self.one.post(reading("remote")).json()["readingIds"]
        self.client.wait_for_reading(reading_id)


@pytest.fixture
def watched(faulty: Faulty, browser_client: Callable[..., NodeClient]) -> Watched:
    wait_ready(*faulty.cluster.nodes)
    one, two = faulty.cluster.organization()
    client = browser_client(two.server.url, token=two.viewer_token).connected()
    [reading_id] = one.post(reading("remote")).json()["readingIds"]
    client.wait_for_reading(reading_id)
    return Watched(one, two, client)


def kill(faulty: Faulty) -> Callable[[], Any]:
    faulty.redis.kill()
    return faulty.redis.start


def freeze(faulty: Faulty) -> Callable[[], Any]:
    faulty.redis.pause()
    return faulty.redis.resume


def cut_off(faulty: Faulty) -> Callable[[], Any]:
    faulty.blackhole.swallow()
    return faulty.blackhole.pass_on


@pytest.mark.parametrize("fault", [kill, freeze, cut_off])
def test_while_redis_is_away_all_that_is_local_goes_on_and_then_nothing_is_missing(
    faulty: Faulty, watched: Watched, fault: Callable[[Faulty], Callable[[], Any]]
) -> None:
    end_fault = fault(faulty)
    try:
        wait_degraded(*faulty.cluster.nodes)
        watched.local_readings_stream_on()
    finally:
        end_fault()
    ended_s = time.monotonic()
    wait_ready(*faulty.cluster.nodes)
    assert time.monotonic() - ended_s < BACK_WITHIN_S
    watched.is_as_good_as_the_store()
    watched.messages_pass_again()


def kill_subscribers(faulty: Faulty, _channel: str) -> None:
    assert faulty.redis.command("CLIENT", "KILL", "TYPE", "pubsub") >= 2


def overflow_subscribers(faulty: Faulty, channel: str) -> None:
    faulty.redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100000 100000 60")
    assert faulty.redis.command("SPUBLISH", channel, bytes(900_000)) == 1
    faulty.redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60")


@pytest.mark.parametrize("fault", [kill_subscribers, overflow_subscribers])
def test_a_subscriber_that_redis_cuts_off_is_back_and_misses_nothing(
    faulty: Faulty, watched: Watched, fault: Callable[[Faulty, str], None]
) -> None:
    fault(faulty, f"{watched.two.server.settings['redis_prefix']}:org:{watched.two.name}")
    watched.local_readings_stream_on()
    watched.is_as_good_as_the_store()
    watched.messages_pass_again()
    wait_ready(*faulty.cluster.nodes)


@contextmanager
def recorded(faulty: Faulty, names: Sequence[str]) -> Iterator[Callable[[], list[tuple[str, bytes]]]]:
    """Give what gives everything said on channels so far, as somebody hears who may listen to this Redis."""
    said: list[tuple[str, bytes]] = []
    with redis.Redis(port=faulty.redis.port, socket_timeout=5) as client, client.pubsub() as listening:
        listening.ssubscribe(*names)

        def heard() -> list[tuple[str, bytes]]:
            while message := listening.get_message(timeout=0.5):
                if message["type"] == "smessage":
                    said.append((message["channel"].decode(), message["data"]))
            return said

        yield heard


def ignored(server: ServerProcess, reason: str) -> float:
    """How many messages a node has ignored for this reason."""
    start = f'sensorcast_bus_ignored_messages_total{{reason="{reason}"}} '
    lines = server.http.get("/metrics").text.splitlines()
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)


def test_what_was_recorded_of_a_node_that_is_gone_reaches_nobody_when_it_is_said_again(
    faulty: Faulty, watched: Watched
) -> None:
    one, two = faulty.cluster.nodes
    prefix = two.settings["redis_prefix"]
    names = [f"{prefix}:beats", f"{prefix}:org:{watched.two.name}"]
    with recorded(faulty, names) as heard:
        watched.messages_pass_again()
        watched.messages_pass_again()
        wait_until(lambda: {name for name, _ in heard()} == set(names), within_s=30, what="beats and readings")
        one.kill()
        said = list(heard())
    try:
        wait_until(
            lambda: "sensorcast_cluster_nodes 1.0" in two.http.get("/metrics").text, within_s=30, what="it is gone"
        )
        before = ignored(two, "replayed")
        for name, message in said:
            assert faulty.redis.command("SPUBLISH", name, message) == 1
        wait_until(lambda: ignored(two, "replayed") >= before + 2, within_s=30, what="they are ignored")
        watched.two.post(reading("end"))
        wait_until(lambda: "end" in shown(watched.client), within_s=30, what="what comes after them")
        assert "sensorcast_cluster_nodes 1.0" in two.http.get("/metrics").text
        ids = [item["id"] for item in watched.client.readings()]
        assert len(ids) == len(set(ids))
    finally:
        one.restart()


def test_a_node_starts_without_redis_and_says_why_it_is_not_ready(faulty: Faulty, browser_client) -> None:
    wait_ready(*faulty.cluster.nodes)
    two = faulty.cluster.nodes[1]
    two.terminate()
    faulty.redis.kill()
    try:
        two.start(until="/healthz")
        wait_degraded(two)
        organization = two.organization()
        client = browser_client(two.url, token=organization.viewer_token).connected()
        client.wait_for_event("stream:degraded")
        [reading_id] = organization.post(reading()).json()["readingIds"]
        client.wait_for_reading(reading_id)
    finally:
        faulty.redis.start()
    wait_ready(*faulty.cluster.nodes)
    client.wait_for_event("stream:restored", within_s=BACK_WITHIN_S)
