"""Engine.IO v4: heartbeats, closing and the upgrade from polling to websocket, on both paths where both have them."""

from __future__ import annotations

import asyncio
import time

import pytest

from .clients import ENGINE_PATH, SEPARATOR, SOCKET_PATH, Closed, Polling, Refused, Target, WebSocket, connect_namespace
from .wire import read_reply

BOTH_PATHS = pytest.mark.parametrize("path", [ENGINE_PATH, SOCKET_PATH])

PING_TIMEOUT_AT_S = 0.5  # 300 ms interval + 200 ms timeout, counted from the handshake
# How late a timeout may be seen on a busy machine; the default ones, of 45 s, come later. Early it may never be.
LATE_S = 10.0


@BOTH_PATHS
async def test_polling_heartbeat_goes_on_while_it_is_answered(server: Target, path: str) -> None:
    polling = await server.polling(path)
    if path == SOCKET_PATH:
        await connect_namespace(polling)  # or the CONNECT deadline of 1 s could come before the third heartbeat

    for _ in range(3):
        reply = await polling.get()
        assert (reply.status, reply.text) == (200, "2")
        await polling.send("3")


@BOTH_PATHS
async def test_websocket_heartbeat_goes_on_while_it_is_answered(server: Target, path: str) -> None:
    websocket = await server.websocket(path)
    if path == SOCKET_PATH:
        await connect_namespace(websocket)  # or the CONNECT deadline of 1 s could come before the third heartbeat

    for _ in range(3):
        assert await websocket.next_message() == "2"
        await websocket.send("3")


@BOTH_PATHS
async def test_polling_session_closes_on_time_without_a_pong(server: Target, path: str) -> None:
    polling = await server.polling(path)
    opened_at = time.monotonic()

    assert (await polling.get()).text == "2"
    last = await polling.get()
    took_s = time.monotonic() - opened_at

    assert (last.status, last.text) in [(200, "1"), (200, "6"), (400, last.text)]
    assert PING_TIMEOUT_AT_S - 0.05 < took_s < PING_TIMEOUT_AT_S + LATE_S
    assert (await polling.get()).status == 400


@BOTH_PATHS
async def test_websocket_session_closes_on_time_without_a_pong(server: Target, path: str) -> None:
    websocket = await server.websocket(path)
    opened_at = time.monotonic()

    await websocket.wait_timed_out()
    took_s = time.monotonic() - opened_at

    assert PING_TIMEOUT_AT_S - 0.05 < took_s < PING_TIMEOUT_AT_S + LATE_S


async def test_polling_session_nobody_polls_is_forgotten(server: Target) -> None:
    polling = await server.polling()

    async with asyncio.timeout(PING_TIMEOUT_AT_S + LATE_S):
        while (await polling.post("6")).status == 200:
            await asyncio.sleep(0.02)


async def test_websocket_heartbeat_does_not_stop_under_traffic(server: Target) -> None:
    websocket = await server.websocket()
    pings, until = 0, time.monotonic() + 1.0

    while time.monotonic() < until:
        await websocket.send("4x")
        while (packet := await websocket.next_message()) == "2":
            pings += 1
            await websocket.send("3")
        assert packet == "4x"

    assert pings >= 2


@BOTH_PATHS
async def test_polling_session_closes_upon_a_close_packet(server: Target, path: str) -> None:
    polling = await server.polling(path)
    pending = await polling.start_get()

    await polling.send("1")
    reply = await read_reply(pending)

    assert (reply.status, reply.text) == (200, "6")
    assert (await polling.get()).status == 400


@BOTH_PATHS
async def test_websocket_session_closes_upon_a_close_packet(server: Target, path: str) -> None:
    websocket = await server.websocket(path)
    started = time.monotonic()

    await websocket.send("1")

    # The reference ignores the packet on this transport and closes by the ping timeout.
    await (websocket.wait_timed_out() if server.is_reference else websocket.wait_closed())
    assert time.monotonic() - started < PING_TIMEOUT_AT_S + LATE_S


async def _probe(server: Target, polling: Polling) -> WebSocket:
    """Upgrade as a stock client does, up to the moment before `5`."""
    websocket = await server.upgrade(polling)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    return websocket


async def _upgraded(server: Target, path: str = ENGINE_PATH) -> tuple[Polling, WebSocket]:
    polling = await server.polling(path)
    pending = await polling.start_get()
    websocket = await _probe(server, polling)
    reply = await read_reply(pending)
    assert (reply.status, reply.text) == (200, "6")
    await websocket.send("5")
    return polling, websocket


async def test_upgrade_moves_the_session_to_the_websocket(server: Target) -> None:
    _, websocket = await _upgraded(server)

    await websocket.send("4hello")
    await websocket.send(b"\x01\x02")

    assert await websocket.receive() == "4hello"
    assert await websocket.receive() == b"\x01\x02"


async def test_upgraded_session_can_connect_to_a_namespace(server: Target) -> None:
    _, websocket = await _upgraded(server, SOCKET_PATH)

    await connect_namespace(websocket)


async def test_upgrade_keeps_a_connected_namespace(server: Target) -> None:
    polling = await server.polling(SOCKET_PATH)
    await connect_namespace(polling)
    pending = await polling.start_get()
    websocket = await _probe(server, polling)
    await read_reply(pending)
    await websocket.send("5")

    await websocket.send('42["message","kept"]')

    assert await websocket.receive() == '42["message-back","kept"]'


async def test_heartbeat_goes_on_after_the_upgrade(server: Target) -> None:
    _, websocket = await _upgraded(server)

    for _ in range(3):
        assert await websocket.next_message() == "2"
        await websocket.send("3")


@BOTH_PATHS
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_http_with_the_same_sid_is_ignored_after_the_upgrade(server: Target, path: str, method: str) -> None:
    polling, websocket = await _upgraded(server, path)

    reply = await server.request(method, polling.url, body=b"4stray" if method == "POST" else b"")

    assert reply.status == 400
    await _expect_alive(websocket, path)


@BOTH_PATHS
async def test_second_websocket_with_the_same_sid_is_ignored_after_the_upgrade(server: Target, path: str) -> None:
    polling, websocket = await _upgraded(server, path)

    await _expect_turned_away(server, polling)

    await _expect_alive(websocket, path)


async def test_second_websocket_is_ignored_during_a_probe(server: Target) -> None:
    polling = await server.polling()
    first = await _probe(server, polling)

    await _expect_turned_away(server, polling)

    await first.send("5")
    await _expect_alive(first, ENGINE_PATH)


async def test_websocket_with_the_sid_of_a_websocket_session_is_ignored(server: Target) -> None:
    websocket = await server.websocket()
    assert websocket.handshake is not None
    url = f"{ENGINE_PATH}?EIO=4&transport=websocket&sid={websocket.handshake.sid}"

    # The reference takes the second websocket, for a probe that never ends well; sensorcast refuses it.
    if not server.is_reference:
        with pytest.raises((Refused, Closed)):
            await (await server.raw_websocket(url)).next_message()

    await _expect_alive(websocket, ENGINE_PATH)


async def _expect_turned_away(server: Target, polling: Polling) -> None:
    """A websocket for this session is refused at once, or closed before it can say a word."""
    with pytest.raises((Refused, Closed)):
        await (await server.upgrade(polling)).next_message()


async def _expect_alive(websocket: WebSocket, path: str) -> None:
    if path == SOCKET_PATH:
        await connect_namespace(websocket)
        return
    await websocket.send("4alive")
    assert await websocket.receive() == "4alive"


async def test_messages_by_polling_still_work_during_a_probe(server: Target) -> None:
    polling = await server.polling()
    websocket = await _probe(server, polling)

    await polling.send("4during")
    packets: list[str] = []
    while "4during" not in packets:
        packets += (await polling.get()).text.split(SEPARATOR)
    await websocket.send("5")

    await _expect_alive(websocket, ENGINE_PATH)


async def test_message_sent_before_the_upgrade_is_answered_after_it(server: Target) -> None:
    polling = await server.polling()
    websocket = await _probe(server, polling)
    pending = await polling.start_get()
    assert (await read_reply(pending)).text == "6"

    await polling.send("4before")
    await websocket.send("5")

    assert await websocket.receive() == "4before"


@pytest.mark.parametrize("packet", ["4hello", b"\x01", "3probe", "2other", "2", "1", "abc", ""])
async def test_failed_probe_closes_the_websocket_and_leaves_polling_working(
    server: Target, packet: str | bytes
) -> None:
    polling = await server.polling()
    websocket = await server.upgrade(polling)

    await websocket.send(packet)
    await websocket.wait_closed()

    await polling.send("4still")
    packets: list[str] = []
    while "4still" not in packets:
        packets += (await polling.get()).text.split(SEPARATOR)


async def test_vanished_probe_leaves_polling_working(server: Target) -> None:
    polling = await server.polling()
    websocket = await _probe(server, polling)
    websocket.wire.abort()

    await polling.send("4still")

    packets: list[str] = []
    while "4still" not in packets:
        packets += (await polling.get()).text.split(SEPARATOR)


async def test_probe_of_a_closed_session_is_turned_away(server: Target) -> None:
    polling = await server.polling()
    await polling.send("1")

    await _expect_turned_away(server, polling)
