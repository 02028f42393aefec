"""The whole server in this process: it starts on what it finds, and stops in an order that loses nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sensorcast.app import Application
from sensorcast.auth import mint_token, new_api_key
from sensorcast.errors import ConfigurationError
from sensorcast.model import Role, format_time
from sensorcast.settings import Settings
from tests.transport.asgi import Request
from tests.transport.socketio_peer import IoPeer

SECRET = "a secret of more than thirty-two bytes"
DEADLINE_S = 30.0


class Server:
    """A started application, a key to send readings with, and clients of its organization."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        chosen: dict[str, Any] = {"data": str(folder), "jwt_secret": SECRET, "flush_interval_ms": 60_000} | settings
        self.app = Application(Settings(**chosen))

    async def start(self) -> None:
        await self.app.start()
        record, self.key = new_api_key("acme", "test", time.time_ns() // 1_000)
        await self.app.store.create_key(record)

    def client(self) -> IoPeer:
        """A connected dashboard."""
        token = mint_token(
            SECRET.encode(), organization_id="acme", role=Role.VIEWER, subject="s", ttl_s=60, now_s=time.time()
        )
        peer = IoPeer(self.app.sockets, "0" + json.dumps({"token": token}))
        assert peer.received[0].startswith("0{")
        return peer

    def posting(self, *pieces: bytes) -> Request:
        headers = {"x-api-key": self.key, "content-type": "application/json"}
        return Request("/api/ingest/readings", method="POST", body=pieces, headers=headers)

    async def ask(self, target: str) -> Request:
        async with asyncio.timeout(DEADLINE_S):
            return await Request(target).run(self.app)


class HeldBack(Request):
    """A request whose body goes on only when it is let."""

    def __init__(self, server: Server, body: bytes) -> None:
        super().__init__("/api/ingest/readings", method="POST", headers={"x-api-key": server.key})
        self._body = body
        self.asked, self.released = asyncio.Event(), asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        self.asked.set()
        await self.released.wait()
        return {"type": "http.request", "body": self._body, "more_body": False}


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    server = Server(folder, **settings)
    await server.start()
    try:
        yield server
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await server.app.drain()
            await server.app.stop()


def reading(unit_id: str = "u1") -> bytes:
    item = {"unitId": unit_id, "recordedAt": format_time(time.time_ns() // 1_000), "temperature": 4.5}
    return json.dumps({"readings": [item]}).encode()


async def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    async with running(folder):
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_folder_that_cannot_be_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--data"):
        Application(Settings(data=str(tmp_path / "file" / "data")))


async def test_a_start_that_fails_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "sensorcast.db").write_bytes(b"this is no database" * 1_000)
    app = Application(Settings(data=str(tmp_path), jwt_secret=SECRET))
    with pytest.raises(ConfigurationError):
        await app.start()
    await app.stop()


async def test_each_door_is_at_its_path(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        statuses = [
            (await server.ask(target)).status
            for target in ("/healthz", "/readyz", "/socket.io/?EIO=4&transport=polling", "/api/ingest/readings", "/no")
        ]
    assert statuses == [200, 200, 200, 405, 404]


async def test_what_is_no_http_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        request = Request("/")
        request.scope["type"] = "websocket"
        assert not (await request.run(server.app)).answered


async def test_the_latest_readings_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        assert (await server.posting(reading("u7")).run(server.app)).status == 200
    async with running(tmp_path) as server:
        latest = server.app.stream.get_latest_reading("acme", "u7")
    assert latest is not None
    assert latest.temperature == 4.5


async def test_the_stop_flushes_what_was_stored_and_closes_without_a_disconnect_packet(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        peer = server.client()
        assert (await server.posting(reading()).run(server.app)).status == 200
        assert peer.received == []
    [batch] = peer.received
    assert batch.startswith('2["sensor:readings:batch"')
    assert peer.carrier.closed == ["server shutting down"]


async def test_the_stop_answers_what_is_under_way_before_the_last_flush(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        peer, request = server.client(), HeldBack(server, reading())
        answering = request.start(server.app)
        await request.asked.wait()
        draining = asyncio.create_task(server.app.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        assert peer.carrier.closed == []
        request.released.set()
        assert (await answering).status == 200
        await draining
        assert [text[:26] for text in peer.received] == ['2["sensor:readings:batch",']


async def test_while_it_stops_a_server_takes_no_new_clients_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        request = HeldBack(server, reading())
        answering = request.start(server.app)
        await request.asked.wait()
        draining = asyncio.create_task(server.app.drain())
        await asyncio.sleep(0)
        assert (await server.ask("/socket.io/?EIO=4&transport=polling")).status == 503
        assert (await server.ask("/readyz")).status == 503
        assert (await server.ask("/healthz")).status == 200
        request.released.set()
        await answering
        await draining


async def test_a_request_that_does_not_end_delays_the_stop_only_so_long(tmp_path: Path) -> None:
    async with running(tmp_path, shutdown_timeout_s=0.1) as server:
        peer, request = server.client(), HeldBack(server, reading())
        answering = request.start(server.app)
        await request.asked.wait()
        async with asyncio.timeout(30):
            await server.app.drain()
        assert peer.carrier.closed == ["server shutting down"]
        request.released.set()
        await answering


async def test_polls_that_wait_do_not_delay_the_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        opening = await server.ask("/socket.io/?EIO=4&transport=polling")
        sid = opening.body.decode().split('"')[3]
        polling = Request(f"/socket.io/?EIO=4&transport=polling&sid={sid}").start(server.app)
        await asyncio.sleep(0)
    assert (await polling).body == b"1"


async def test_statistics_count_the_connections_of_the_one_who_asks(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.client()
        token = mint_token(
            SECRET.encode(), organization_id="acme", role=Role.ADMIN, subject="s", ttl_s=60, now_s=time.time()
        )
        answer = await Request("/api/stats", headers={"authorization": f"Bearer {token}"}).run(server.app)
        assert json.loads(answer.body)["connections"] == 1
