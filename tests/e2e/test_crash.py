"""A server that stops or is replaced: what was under way is answered, and clients come back by themselves."""

from __future__ import annotations

import socket
import time

import httpx
import pytest

from sensorcast.serving import AFTER_DRAIN_S
from tests.support.server import reading
from tests.support.waiting import wait_until


def test_request_in_flight_when_terminated_is_answered_and_stored(start_server):
    server = start_server()
    organization = server.organization()
    body = httpx.Request("POST", server.url, json={"readings": [reading("in-flight")]}).read()
    head = (
        f"POST /api/ingest/readings HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {organization.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + body[:10])
        server.http.get("/healthz").raise_for_status()  # by now the server has read what came before
        process = server.process
        process.terminate()
        wait_until(lambda: refuses_connections(server.port), within_s=30, what="a closed port")
        connection.sendall(body[10:])
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert process.wait(30) == 0
    server.process = None
    server.restart()
    assert organization.get("units/in-flight/latest").status_code == 200


def refuses_connections(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_stock_client_reconnects_by_itself_to_the_restarted_server(start_server, browser_client):
    server = start_server(flush_interval_ms=100)
    organization = server.organization()
    client = browser_client(server.url, token=organization.viewer_token, reconnectionDelay=100).connected()
    before = len(client.seen)
    assert server.terminate() == 0
    assert client.wait_for("disconnect", after=before)["reason"] == "transport close"
    server.restart()
    client.wait_for_event("connection:ack", within_s=30, after=before)
    [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
    client.wait_for_reading(reading_id)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_last_flush_reaches_the_client_before_the_server_stops(start_server, browser_client, transport):
    server = start_server(flush_interval_ms=60_000)
    organization = server.organization()
    client = browser_client(server.url, token=organization.viewer_token, transports=[transport]).connected()
    [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
    assert server.terminate() == 0
    client.wait_for_reading(reading_id)


def test_body_that_never_ends_does_not_hold_up_the_stop(start_server):
    server = start_server(shutdown_timeout_s=1)
    organization = server.organization()
    head = f"POST /api/ingest/readings HTTP/1.1\r\nHost: a\r\nX-API-Key: {organization.key}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as dripping:
        dripping.sendall(head.encode() + b"Content-Length: 99\r\n\r\n{")
        wait_until(lambda: server.http.get("/healthz").status_code == 200, within_s=30, what="an answer beside it")
        started_s = time.monotonic()
        assert server.terminate() == 0
    assert time.monotonic() - started_s < 1 + AFTER_DRAIN_S + 20  # 30 s unless the setting were heeded
