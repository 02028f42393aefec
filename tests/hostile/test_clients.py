"""Clients with a good token and bad manners, against `sensorcast serve`: each is stopped at its limit.

Its neighbour, a dashboard of another organization, must get its readings in time after every attack.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conformance import frames
from tests.conformance.clients import SEPARATOR, SOCKET_PATH, Closed, Target, WebSocket
from tests.conformance.wire import request_head
from tests.support.server import Organization, ServerProcess, reading

FLUSH_MS = 100
CONNECT_TIMEOUT_S = 0.5
# How late a busy machine may be; the next longer limit that could be met instead is the default of 10 s.
LATE_S = 5.0


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with default limits, but for a quick flush and a short time to connect."""
    settings = {"flush_interval_ms": FLUSH_MS, "connect_timeout_ms": round(CONNECT_TIMEOUT_S * 1000)}
    server = ServerProcess(tmp_path_factory.mktemp("clients"), settings)
    yield server.start()
    server.close()
    log = server.output.read_text(errors="replace")
    for trouble in ("Traceback", "handler_failed", "task_failed", "connect_failed"):
        assert trouble not in log, log[-5_000:]


@pytest.fixture
async def target(process: ServerProcess) -> AsyncIterator[Target]:
    """The server as raw clients see it."""
    assert process.process is not None
    target = Target("sensorcast", process.port, pid=process.process.pid)
    yield target
    target.abort_all()


@pytest.fixture
def attacker(process: ServerProcess) -> Organization:
    """The organization of the attacker."""
    return process.organization()


async def _connected(target: Target, organization: Organization, **auth: str) -> WebSocket:
    websocket = await target.websocket(SOCKET_PATH)
    await websocket.send(f"40{json.dumps({'token': organization.viewer_token, **auth})}")
    assert str(await websocket.receive()).startswith("40{")
    assert str(await websocket.receive()).startswith('42["connection:ack"')
    return websocket


@pytest.fixture(autouse=True)
async def neighbour(process: ServerProcess, target: Target) -> AsyncIterator[None]:
    """A dashboard that must get a reading after the attack, on the connection it had before it."""
    organization = process.organization()
    dashboard = await _connected(target, organization)
    yield
    [reading_id] = (await asyncio.to_thread(organization.post, reading("unit-1"))).json()["readingIds"]
    batch = str(await dashboard.receive(deadline_s=3.0))
    assert batch.startswith('42["sensor:readings:batch"')
    assert reading_id in batch


async def _answers(websocket: WebSocket) -> list[str]:
    """Every packet until the server closes."""
    received: list[str] = []
    try:
        while True:
            received.append(str(await websocket.receive()))
    except Closed:
        return received


async def test_events_above_the_rate_are_refused_by_name(target: Target, attacker: Organization) -> None:
    websocket = await _connected(target, attacker)

    await websocket.send_bytes(b"".join(frames.text(f'42{number}["ping"]') for number in range(200)))
    answers = [str(await websocket.receive()) for _ in range(200)]

    refused = [answer for answer in answers if '"rate_limited"' in answer]
    assert 100 < len(refused) < 200
    assert "client_events_per_s" in refused[0]


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(frames.text('421["ping"]'), id="events"),
        pytest.param(frames.text('42["nobody knows"]'), id="unknown events"),
        pytest.param(frames.text('431["x"]'), id="acknowledgements"),
        pytest.param(frames.text("6"), id="noops"),
        pytest.param(frames.text("3"), id="pongs"),
        pytest.param(frames.frame(frames.PING), id="websocket pings"),
        pytest.param(frames.frame(frames.PONG), id="websocket pongs"),
    ],
)
async def test_endless_packets_close(target: Target, attacker: Organization, packet: bytes) -> None:
    websocket = await _connected(target, attacker)

    await websocket.send_bytes(packet * 20_000)

    assert len(await _answers(websocket)) < 1_000


async def test_endless_packets_over_polling_close(target: Target) -> None:
    polling = await target.polling(SOCKET_PATH)
    status = 200

    for _ in range(50):
        if status == 200:
            status = (await polling.post(SEPARATOR.join(["6"] * 900))).status

    assert status == 400


async def test_rooms_beyond_the_limit_are_refused_by_name(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, {"client_events_burst": 1_000, "rooms_per_socket": 10}).start()
    target, organization = Target("sensorcast", server.port), server.organization()
    websocket = await _connected(target, organization, stream="units")

    answers = []
    for number in range(12):
        await websocket.send(f'421["subscribe:unit","unit-{number}"]')
        answers.append(str(await websocket.receive()))

    server.close()
    target.abort_all()
    assert [answer for answer in answers if '"ok":true' in answer] == answers[:10]
    assert all("rooms_per_socket" in answer for answer in answers[10:])


@pytest.mark.parametrize(
    "packet", ['451-["ping",{"_placeholder":true,"num":0}]', '42["get:latest",' + "[" * 20 + "]" * 20 + "]"]
)
async def test_binary_and_deep_json_close(target: Target, attacker: Organization, packet: str) -> None:
    websocket = await _connected(target, attacker)

    await websocket.send(packet)

    await websocket.wait_closed()


async def test_message_above_the_payload_limit_closes(target: Target, attacker: Organization) -> None:
    websocket = await _connected(target, attacker)

    await websocket.send_bytes(frames.frame(frames.TEXT, claimed_length=100_001))

    assert (await websocket.wait_closed()).code == 1009


async def test_session_that_never_connects_is_closed_on_time(target: Target) -> None:
    websocket = await target.websocket(SOCKET_PATH)

    await websocket.wait_closed(deadline_s=CONNECT_TIMEOUT_S + LATE_S)


async def test_refused_token_is_not_a_way_to_stay(target: Target) -> None:
    websocket = await target.websocket(SOCKET_PATH)

    await websocket.send('40{"token":"nonsense"}')

    answers = await asyncio.wait_for(_answers(websocket), CONNECT_TIMEOUT_S + LATE_S)
    assert [answer[:2] for answer in answers] == ["44"]


async def test_unfinished_post_is_cut_with_its_session(target: Target) -> None:
    polling = await target.polling(SOCKET_PATH)
    wire = await target.connect()
    await wire.send(request_head("POST", polling.url, [("Content-Length", "1000")]) + b"4")

    # The session ends, for want of a CONNECT; its request must not be read for as long as the sender likes.
    await wire.take_all(deadline_s=CONNECT_TIMEOUT_S + LATE_S)
