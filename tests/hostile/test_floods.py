"""Clients that take without end or never let go: what they hold is bounded, and given back when they are gone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.conformance import frames
from tests.conformance.clients import SEPARATOR, SOCKET_PATH, Closed, Target, WebSocket, connect_namespace
from tests.conformance.wire import DEADLINE_S

from .memory import MIB, expect_level, resident_bytes

pytestmark = pytest.mark.usefixtures("canary")


def _descriptors(target: Target) -> int:
    return len(list(Path(f"/proc/{target.pid}/fd").iterdir()))


async def _expect_descriptors(target: Target, count: int) -> None:
    """Wait until the server holds no more file descriptors than before; the canary's polling needs a few."""
    async with asyncio.timeout(DEADLINE_S):
        while _descriptors(target) > count + 4:
            await asyncio.sleep(0.02)


async def _send_unread(websocket: WebSocket, limit_bytes: int) -> int:
    """Ask for echoes without reading any until the server cuts the connection; give the bytes it took."""
    websocket.wire.transport.pause_reading()
    message, sent = frames.text("4" + "x" * 100_000), 0
    while not websocket.wire.ended and sent < limit_bytes:
        await websocket.send_bytes(message)
        sent += 100_000
    return sent


async def test_websocket_that_reads_nothing_is_cut(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    sent = await _send_unread(websocket, 100 * MIB)

    # What the kernel buffers on both sides comes on top of the limit of 1 MiB.
    assert sent < 30 * MIB
    assert websocket.wire.ended


async def test_memory_of_clients_that_read_nothing_comes_back(patient_server: Target) -> None:
    level_bytes = 0
    for _ in range(4):
        for _ in range(10):
            await _send_unread(await patient_server.websocket(), 100 * MIB)
        level_bytes = level_bytes or resident_bytes(patient_server.pid)

    await expect_level(patient_server.pid, level_bytes)


async def test_polling_session_that_sends_and_never_polls_is_closed(patient_server: Target) -> None:
    polling = await patient_server.polling()
    status, sent = 200, 0

    while status == 200 and sent < 100 * MIB:
        status = (await polling.post("4" + "x" * 500_000)).status
        sent += 500_000

    assert status == 400
    assert sent <= 3 * MIB


async def test_memory_of_unfinished_messages_comes_back(patient_server: Target) -> None:
    part = frames.frame(frames.TEXT, b"4" * 900_000, fin=False)
    level_bytes = 0
    for _ in range(4):
        victims = [await patient_server.websocket() for _ in range(30)]
        for websocket in victims:
            await websocket.send_bytes(part)
            await websocket.send_bytes(frames.frame(frames.PING))
            assert await websocket.next_frame() == frames.Frame(frames.PONG, b"")
        for websocket in victims:
            websocket.wire.abort()
        level_bytes = level_bytes or resident_bytes(patient_server.pid)

    await expect_level(patient_server.pid, level_bytes)


async def test_memory_of_missing_attachments_comes_back(patient_server: Target) -> None:
    level_bytes = 0
    for _ in range(4):
        for _ in range(10):
            websocket = await patient_server.websocket(SOCKET_PATH)
            await connect_namespace(websocket)
            await websocket.send('4510-["message"]')
            for _ in range(9):
                await websocket.send(b"x" * 500_000)
            await websocket.send_bytes(frames.frame(frames.PING))
            assert await websocket.next_frame() == frames.Frame(frames.PONG, b"")
            websocket.wire.abort()
        level_bytes = level_bytes or resident_bytes(patient_server.pid)

    await expect_level(patient_server.pid, level_bytes)


async def test_silent_websockets_are_closed_on_time_and_forgotten(hasty_server: Target) -> None:
    before = _descriptors(hasty_server)
    silent = [await hasty_server.websocket() for _ in range(200)]
    for websocket in silent:
        websocket.wire.transport.pause_reading()  # a peer that is gone without a word
    opened_at = time.monotonic()

    await _expect_descriptors(hasty_server, before)

    # 300 ms + 200 ms, and the time a closing socket is given to take the last bytes; the default would be 45 s.
    assert time.monotonic() - opened_at < 20.0


async def test_polling_sessions_nobody_polls_are_forgotten(hasty_server: Target) -> None:
    level_bytes = 0
    for _ in range(3):
        sessions = [await hasty_server.polling() for _ in range(500)]
        async with asyncio.timeout(DEADLINE_S):
            while (await sessions[-1].post("6")).status == 200:
                await asyncio.sleep(0.02)
        assert {(await polling.post("6")).status for polling in sessions} == {400}
        level_bytes = level_bytes or resident_bytes(hasty_server.pid)

    await expect_level(hasty_server.pid, level_bytes)


async def test_connections_that_come_and_go_leave_nothing(patient_server: Target) -> None:
    level_bytes, before = 0, _descriptors(patient_server)
    for _ in range(4):
        for _ in range(300):
            websocket = await patient_server.websocket(SOCKET_PATH)
            await connect_namespace(websocket)
            websocket.wire.abort()
        level_bytes = level_bytes or resident_bytes(patient_server.pid)

    await expect_level(patient_server.pid, level_bytes)
    await _expect_descriptors(patient_server, before)


async def test_namespace_that_is_joined_and_left_without_end_leaves_nothing(patient_server: Target) -> None:
    websocket = await patient_server.websocket(SOCKET_PATH)
    level_bytes = 0
    for _ in range(4):
        for _ in range(500):
            await connect_namespace(websocket)
            await websocket.send("41")
        level_bytes = level_bytes or resident_bytes(patient_server.pid)

    await expect_level(patient_server.pid, level_bytes)


async def _refusals(websocket: WebSocket) -> int:
    """How often the server says that there is no such namespace before it closes."""
    refused = 0
    try:
        while await websocket.next_message() == f'44/unknown-{refused},{{"message":"Invalid namespace"}}':
            refused += 1
    except Closed:
        return refused
    raise AssertionError("something else than a refusal came")


async def test_endless_namespaces_close(patient_server: Target) -> None:
    websocket = await patient_server.websocket(SOCKET_PATH)

    await websocket.send_bytes(b"".join(frames.text(f"40/unknown-{number},") for number in range(100)))

    assert 0 < await _refusals(websocket) < 100


async def test_acknowledgements_nobody_waits_for_are_ignored(patient_server: Target) -> None:
    websocket = await patient_server.websocket(SOCKET_PATH)
    await connect_namespace(websocket)

    await websocket.send_bytes(b"".join(frames.text(f'43{number}["x"]') for number in range(900)))
    await websocket.send('42["message","still there"]')

    assert await websocket.receive() == '42["message-back","still there"]'


async def test_body_of_a_thousand_packets_is_taken_and_a_longer_one_closes(patient_server: Target) -> None:
    polling = await patient_server.polling()
    await polling.send(*["6"] * 1_000)

    reply = await polling.post(SEPARATOR.join(["6"] * 1_001))

    assert reply.status == 400
    assert (await polling.get()).status == 400
