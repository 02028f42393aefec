"""Several workers behind one port are one server: to stock clients, to gateways, and when one of them dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import FAST_FLUSH_MS
from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.node import NodeClient, readings_of
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import Organization, ServerProcess, reading
from tests.support.waiting import wait_until
from tests.support.workers import client_of, wait_for_workers, worker_of, worker_pids

from .test_documentation import answers
from .test_reverse_proxy import nginx

WORKERS = 3
POLLING = "/socket.io/?EIO=4&transport=polling"
TRANSPORTS = (["websocket"], ["polling"], ["polling", "websocket"])
DELIVERY_DEADLINE_S = 30.0
"""A busy machine may take long; that everything comes once is the claim here, not how fast."""

Connect = Callable[..., NodeClient]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"workers": WORKERS, "flush_interval_ms": FAST_FLUSH_MS, "ingest_requests_per_s": 100_000}
    started = ServerProcess(tmp_path_factory.mktemp("workers"), settings).start()
    wait_for_workers(started, WORKERS)
    yield started
    started.close()


@pytest.fixture
def organization(server: ServerProcess) -> Organization:
    return server.organization()


def post(http: httpx.Client, organization: Organization, *readings: dict[str, Any]) -> list[str]:
    answer = http.post(
        "/api/ingest/readings", json={"readings": readings}, headers={"X-API-Key": organization.key}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["readingIds"])


def connect_each_way(browser_client: Connect, organization: Organization, count: int) -> list[NodeClient]:
    """Connect clients over each transport in turn, and wait for all of them."""
    clients = [
        browser_client(
            organization.server.url,
            token=organization.viewer_token,
            transports=TRANSPORTS[number % len(TRANSPORTS)],
            reconnectionDelay=100,
        )
        for number in range(count)
    ]
    for client in clients:
        client.wait_for_event("connection:ack", within_s=DELIVERY_DEADLINE_S)
    return clients


def received(client: NodeClient) -> Counter[str]:
    return Counter(item["id"] for item in client.readings())


def received_by_connection(client: NodeClient) -> list[Counter[str]]:
    """As `received`, from each connect to the next."""
    counts = [Counter[str]()]
    for seen in list(client.seen):
        if seen["is"] == "connect":
            counts.append(Counter())
        counts[-1].update(item["id"] for item in readings_of(seen))
    return counts


def test_every_client_gets_every_reading_once_whichever_worker_took_it(
    server: ServerProcess, organization: Organization, browser_client: Connect
) -> None:
    clients = connect_each_way(browser_client, organization, 40)
    expected: list[str] = []
    with ExitStack() as stack:
        doors = [stack.enter_context(client_of(server, worker)) for worker in range(WORKERS)]
        for number in range(30):
            readings = [reading(f"unit-{unit}", temperature=number) for unit in range(3)]
            expected += post(doors[number % WORKERS], organization, *readings)
    for client in clients:
        wait_until(
            lambda client=client: len(received(client)) >= len(expected), within_s=DELIVERY_DEADLINE_S, what="all came"
        )
    last = organization.post(reading("last")).json()["readingIds"]
    for client in clients:
        client.wait_for_reading(last[0], within_s=DELIVERY_DEADLINE_S)
        assert received(client) == Counter([*expected, *last])
        assert [seen for seen in client.seen if seen["is"] in {"disconnect", "connect_error"}] == []


def test_clients_that_upgrade_end_up_on_a_websocket(
    server: ServerProcess, organization: Organization, browser_client: Connect
) -> None:
    clients = [
        browser_client(server.url, token=organization.viewer_token, transports=["polling", "websocket"])
        for _ in range(12)
    ]
    for client in clients:
        # In either order: the upgrade may be done before the Socket.IO CONNECT is answered.
        client.wait(lambda seen: seen.get("transport") == "websocket", within_s=DELIVERY_DEADLINE_S, what="a websocket")


def test_polling_through_a_proxy_that_mixes_clients_on_its_connections_works(
    server: ServerProcess, organization: Organization, browser_client: Connect, tmp_path: Path
) -> None:
    port = free_port()
    command, _ = nginx(port, server.port, tmp_path)
    configuration = tmp_path / "nginx.conf"
    # Without TLS: how connections are shared has nothing to do with it, and the clients do not know who signs.
    configuration.write_text(configuration.read_text().replace(f"{port} ssl", str(port)))
    with (tmp_path / "output").open("wb") as output:
        proxy = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), within_s=30, what="nginx")
        clients = [
            browser_client(f"http://127.0.0.1:{port}", token=organization.viewer_token, transports=transports)
            for transports in [["polling"]] * 9 + [["polling", "websocket"]] * 3
        ]
        for client in clients:
            client.wait_for_event("connection:ack", within_s=DELIVERY_DEADLINE_S)
        expected = [organization.post(reading(temperature=number)).json()["readingIds"][0] for number in range(20)]
        for client in clients:
            client.wait_for_reading(expected[-1], within_s=DELIVERY_DEADLINE_S)
            assert received(client) == Counter(expected)
            assert [seen for seen in client.seen if seen["is"] in {"disconnect", "connect_error"}] == []
        for client in clients:
            client.disconnect()
    finally:
        proxy.terminate()
        proxy.wait(30)


def test_the_same_reading_sent_to_every_worker_is_stored_and_sent_once(
    server: ServerProcess, organization: Organization, browser_client: Connect
) -> None:
    [client] = connect_each_way(browser_client, organization, 1)
    same = reading("unit-1", temperature=7.5)
    with ExitStack() as stack:
        doors = [stack.enter_context(client_of(server, worker)) for worker in range(WORKERS)]
        for door in doors:
            post(door, organization, same)
        [last] = post(doors[0], organization, reading("unit-1", temperature=8.5))
    client.wait_for_reading(last, within_s=DELIVERY_DEADLINE_S)
    assert sorted(received(client).values()) == [1, 1]
    assert len(organization.get("units/unit-1/readings").json()["readings"]) == 2


def test_a_kept_connection_may_mix_sessions_of_all_workers(server: ServerProcess) -> None:
    sessions: dict[str, str] = {}
    while len(sessions) < WORKERS:
        sid = session_id(httpx.get(f"{server.url}{POLLING}").text)
        sessions[sid.partition(".")[0]] = sid
    with client_of(server, 0) as http:
        for sid in sessions.values():
            assert http.post(f"{POLLING}&sid={sid}", content="40{}").text == "ok"
        for sid in sessions.values():
            assert http.get(f"{POLLING}&sid={sid}").text.startswith("44")  # the refusal of a CONNECT without a token
        assert worker_of(http) == 0


def session_id(open_packet: str) -> str:
    return open_packet.partition('"sid":"')[2].partition('"')[0]


@pytest.mark.parametrize("sid", ["0.unknown", "1.unknown", "2.unknown", "3.unknown", "999.unknown", "unknown"])
def test_an_unknown_session_is_answered_as_ever_wherever_it_claims_to_be(server: ServerProcess, sid: str) -> None:
    expected = {"code": 1, "message": "Session ID unknown"}
    for worker in range(WORKERS):
        with client_of(server, worker) as kept:
            answer = kept.get(f"{POLLING}&sid={sid}")
            assert (answer.status_code, answer.json()) == (400, expected)
        first = httpx.get(f"{server.url}{POLLING}&sid={sid}")
        assert (first.status_code, first.json()) == (400, expected)


def test_an_upgrade_on_a_kept_connection_reaches_the_worker_of_its_session(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as kept:
        kept.sendall(f"GET {POLLING} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        own = session_id(read_answer(kept)).partition(".")[0]
        foreign = own
        while foreign.partition(".")[0] == own:
            foreign = session_id(httpx.get(f"{server.url}{POLLING}").text)
        target = f"/socket.io/?EIO=4&transport=websocket&sid={foreign}"
        kept.sendall(
            f"GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert b"101 Switching Protocols" in kept.recv(65_536)
        kept.sendall(b"\x81\x86\0\0\0\0" + b"2probe")
        assert kept.recv(65_536) == b"\x81\x063probe"


def read_answer(connection: socket.socket) -> str:
    text = ""
    while "}" not in text:
        text += connection.recv(65_536).decode()
    return text


def test_workers_on_postgresql_and_redis_are_one_server_too(
    start_server: Callable[..., ServerProcess],
    browser_client: Connect,
    postgres: PostgresServer,
    shared_redis: RedisServer,
) -> None:
    server = start_server(
        workers=2,
        flush_interval_ms=FAST_FLUSH_MS,
        database_url=asyncio.run(postgres.new_database()),
        redis_url=shared_redis.url,
        redis_prefix="workers",
    )
    wait_for_workers(server, 2)
    organization = server.organization()
    clients = connect_each_way(browser_client, organization, 18)
    expected: list[str] = []
    with client_of(server, 0) as first, client_of(server, 1) as second:
        for number in range(10):
            expected += post(first, organization, reading("unit-1", temperature=number))
            expected += post(second, organization, reading("unit-2", temperature=number))
    for client in clients:
        wait_until(
            lambda client=client: len(received(client)) >= len(expected), within_s=DELIVERY_DEADLINE_S, what="all came"
        )
        assert received(client) == Counter(expected)


@pytest.mark.real_time
def test_ingest_through_all_workers_at_once_loses_nothing_and_is_not_refused(
    server: ServerProcess, organization: Organization
) -> None:
    ledger, took_s = Ledger(), []
    with Gateways(organization, 12, ledger), ExitStack() as stack:
        doors = [stack.enter_context(client_of(server, worker)) for worker in range(WORKERS)]
        ends_at_s = time.monotonic() + 4
        while time.monotonic() < ends_at_s:
            for door in doors:
                started_s = time.perf_counter()
                post(door, organization, reading("probe", temperature=1.0))
                took_s.append(time.perf_counter() - started_s)
    took_s.sort()
    print(f"{len(took_s)} probes, p50 {took_s[len(took_s) // 2]:.3f} s, p99 {took_s[len(took_s) * 99 // 100]:.3f} s")
    assert ledger.refused == []
    assert ledger.unanswered == 0
    assert_nothing_lost(server, organization, ledger, besides={"probe"})


def test_when_a_worker_is_killed_its_clients_come_back_and_nothing_acknowledged_is_lost(
    start_server: Callable[..., ServerProcess], browser_client: Connect
) -> None:
    server = start_server(workers=WORKERS, flush_interval_ms=FAST_FLUSH_MS)
    wait_for_workers(server, WORKERS)
    organization, ledger = server.organization(), Ledger()
    clients = connect_each_way(browser_client, organization, 30)
    with Gateways(organization, 6, ledger):
        wait_until(lambda: len(ledger.acknowledged) > 100, within_s=DELIVERY_DEADLINE_S, what="readings are stored")
        os.kill(worker_pids(server)[1], signal.SIGKILL)
        count = len(ledger.acknowledged)
        wait_for_workers(server, WORKERS)
        wait_until(lambda: len(ledger.acknowledged) > count + 100, within_s=DELIVERY_DEADLINE_S, what="more are stored")
    wait_until(lambda: is_ready(server), within_s=DELIVERY_DEADLINE_S, what="every worker is ready")
    for client in clients:
        # Whoever was not on that worker noticed nothing; the others were away for a moment.
        wait_until(lambda client=client: is_connected(client), within_s=DELIVERY_DEADLINE_S, what="it is back")
    [last] = organization.post(reading("last", temperature=1.5)).json()["readingIds"]
    for client in clients:
        client.wait_for_reading(last, within_s=DELIVERY_DEADLINE_S)
        # Who comes back within a flush interval may get what the dead worker had sent already from another one.
        assert max(max(each.values(), default=1) for each in received_by_connection(client)) == 1
    away = [client for client in clients if any(seen["is"] == "disconnect" for seen in client.seen)]
    assert 0 < len(away) < len(clients)
    for client in clients:
        if client not in away:  # what the dead worker had not told the others may be missing, and they are told
            client.wait_for_event("stream:degraded", within_s=DELIVERY_DEADLINE_S)
            client.wait_for_event("stream:restored", within_s=DELIVERY_DEADLINE_S)
            print(f"missing of a live stream: {len(ledger.acknowledged.keys() - received(client).keys())}")
    stored = {unit["latest"]["id"] for unit in organization.get("units?limit=100").json()["units"]}
    for client in clients:
        assert {item["id"] for item in client.call("get:latest:all")} == stored
    assert_nothing_lost(server, organization, ledger, besides={"last"})


def is_ready(server: ServerProcess) -> bool:
    for worker in range(WORKERS):
        with client_of(server, worker) as http:
            if http.get("/readyz").status_code != 200:
                return False
    return True


def is_connected(client: NodeClient) -> bool:
    greeted = [at for at, seen in enumerate(client.seen) if seen.get("name") == "connection:ack"]
    parted = [at for at, seen in enumerate(client.seen) if seen["is"] == "disconnect"]
    return max(greeted, default=-1) > max(parted, default=-1)
