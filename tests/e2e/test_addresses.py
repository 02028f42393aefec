"""What counts by address, in a server as it is run: connections, and credentials that do not hold."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.node import NodeClient
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

CAP = 8
StartServer = Callable[..., ServerProcess]


@pytest.fixture
def capped(start_server: StartServer) -> Iterator[tuple[ServerProcess, list[socket.socket]]]:
    server = start_server(trusted_proxies="", connections_per_address=CAP)
    taken: list[socket.socket] = []
    yield server, taken
    for each in taken:
        each.close()


def test_one_address_cannot_take_more_than_its_cap(capped: tuple[ServerProcess, list[socket.socket]]) -> None:
    server, taken = capped

    def refusal(patience_s: float = 0.2) -> bytes:
        taken.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        taken[-1].settimeout(patience_s)
        try:
            return taken[-1].recv(400)
        except TimeoutError:
            return b""

    answers = [*(refusal() for _ in range(CAP)), refusal(patience_s=30)]
    assert answers[-1].startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert answers.count(b"") >= CAP - 1
    for each in taken:
        each.close()
    wait_until(lambda: "sensorcast_http_connections 1.0" in metrics(server), within_s=30, what="their places are free")
    assert 'sensorcast_connections_refused_total{cap="address"} ' in metrics(server)
    assert [line["cap"] for line in server.log_lines() if line["event"] == "connection_refused"] == ["address"]


def metrics(server: ServerProcess) -> str:
    return server.http.get("/metrics").text


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_failures_count_for_the_client_and_not_for_its_proxy(
    start_server: StartServer, browser_client: Callable[..., NodeClient], transport: str
) -> None:
    server = start_server(bad_credentials_per_s=0.001, bad_credentials_burst=3)
    acme = server.organization()

    def answer(token: str, address: str) -> str:
        forwarded = {"X-Forwarded-For": address}
        client = browser_client(server.url, token=token, transports=[transport], extraHeaders=forwarded)
        client.wait(lambda seen: seen["is"] in {"connect", "connect_error"}, within_s=30, what="an answer")
        return str(client.seen)

    for _ in range(3):
        assert "unauthenticated" in answer("nonsense", "192.0.2.1")
    assert "rate_limited" in answer("nonsense", "192.0.2.1")
    assert "unauthenticated" in answer("nonsense", "192.0.2.2")
    assert "'connect'" in answer(acme.viewer_token, "192.0.2.2")
