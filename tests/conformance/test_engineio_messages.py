"""Engine.IO v4: messages over both transports, echoed unchanged by the bare endpoint."""

from __future__ import annotations

import asyncio

import pytest

from .clients import SEPARATOR, Polling, Target
from .wire import DEADLINE_S, read_reply, request_head

TEXTS = pytest.mark.parametrize(
    "text",
    [
        pytest.param("hello", id="ascii"),
        pytest.param("", id="empty"),
        pytest.param("é", id="two bytes"),
        pytest.param("€uro ✓", id="three bytes"),
        pytest.param("🌡️ 5 °C 👩🏽‍🔬", id="four bytes"),
        pytest.param("\x00\x1f\u2028\ufeff\uffff\U0010ffff", id="controls and the last code points"),
        pytest.param("b64 4 2 6", id="digits of packet types"),
        pytest.param("é" * 40_000, id="80,000 bytes"),
    ],
)


async def test_polling_carries_one_packet(server: Target) -> None:
    polling = await server.polling()

    reply = await polling.post("4hello")

    assert (reply.status, reply.text) == (200, "ok")
    assert await polling.receive() == "4hello"


async def test_polling_carries_several_packets(server: Target) -> None:
    polling = await server.polling()

    await polling.send("4test1", "4test2", "4test3")

    assert [await polling.receive() for _ in range(3)] == ["4test1", "4test2", "4test3"]


async def test_polling_answers_with_all_waiting_packets_in_one_payload(server: Target) -> None:
    polling = await server.polling()
    await polling.send("4test1", "4test2", "4test3")

    reply = await polling.get()

    packets = [packet for packet in reply.text.split(SEPARATOR) if packet != "2"]
    assert packets == ["4test1", "4test2", "4test3"]


async def test_polling_carries_text_and_binary_together(server: Target) -> None:
    polling = await server.polling()

    await polling.send("4hello", "bAQIDBA==")

    assert [await polling.receive() for _ in range(2)] == ["4hello", "bAQIDBA=="]


async def test_polling_carries_a_batch_of_500_packets(server: Target) -> None:
    polling = await server.polling()
    sent = [f"4{number}" for number in range(500)]

    await polling.send(*sent)

    assert [await polling.receive() for _ in sent] == sent


@TEXTS
async def test_polling_carries_text_unchanged(server: Target, text: str) -> None:
    polling = await server.polling()

    await polling.send(f"4{text}")

    assert await polling.receive() == f"4{text}"


@pytest.mark.parametrize("payload", ["", "AA==", "AAE=", "AAEC", "/+8A", "A" * 80_000])
async def test_polling_carries_binary_of_any_length(server: Target, payload: str) -> None:
    polling = await server.polling()

    await polling.send(f"b{payload}")

    assert await polling.receive() == f"b{payload}"


@TEXTS
async def test_websocket_carries_text_unchanged(server: Target, text: str) -> None:
    websocket = await server.websocket()

    await websocket.send(f"4{text}")

    assert await websocket.receive() == f"4{text}"


@pytest.mark.parametrize("payload", [b"\x01\x02\x03\x04", b"", b"\x00", b"\xff" * 70_000], ids=len)
async def test_websocket_carries_binary_unchanged(server: Target, payload: bytes) -> None:
    websocket = await server.websocket()

    await websocket.send(payload)

    assert await websocket.receive() == payload


async def test_websocket_keeps_the_order_of_text_and_binary(server: Target) -> None:
    websocket = await server.websocket()
    sent = [b"\x01", "4two", b"\x03", "4four"]

    for message in sent:
        await websocket.send(message)

    assert [await websocket.receive() for _ in sent] == sent


@pytest.mark.parametrize("packet", ["abc", "7", "", "9x", "-1", "é", "4ok\x1eabc", "\x1e", "4ok\x1e"])
async def test_polling_session_closes_upon_an_invalid_packet(server: Target, packet: str) -> None:
    polling = await server.polling()

    reply = await polling.post(packet)

    # The reference answers `ok` before it closes; sensorcast says that it was not.
    assert reply.status == server.expect(sensorcast=400, reference=200)
    assert (await polling.get()).status == 400


@pytest.mark.parametrize("packet", ["abc", "7", "", "-1", "é"])
async def test_websocket_closes_upon_an_invalid_packet(server: Target, packet: str) -> None:
    websocket = await server.websocket()

    await websocket.send(packet)

    await websocket.wait_closed()


@pytest.mark.parametrize("packet", ["2", "2probe"])
async def test_ping_from_a_client_closes(server: Target, packet: str) -> None:
    websocket = await server.websocket()

    await websocket.send(packet)

    await websocket.wait_closed()


@pytest.mark.parametrize("packet", ["5", "0", '0{"sid":"x"}'])
async def test_packet_only_a_server_may_send_never_reaches_the_application(server: Target, packet: str) -> None:
    websocket = await server.websocket()

    await websocket.send(packet)

    # The reference ignores these, sensorcast closes as for any other packet out of place.
    if server.is_reference:
        await websocket.send("4after")
        assert await websocket.receive() == "4after"
        return
    await websocket.wait_closed()


async def test_noop_from_a_client_is_ignored(server: Target) -> None:
    websocket = await server.websocket()

    await websocket.send("6")
    await websocket.send("4after")

    assert await websocket.receive() == "4after"


async def test_second_poll_at_once_closes_the_session(server: Target) -> None:
    polling = await server.polling()
    pending = await polling.start_get()

    async def second_poll() -> int:
        return (await polling.get()).status

    first, second = await asyncio.gather(read_reply(pending), second_poll())

    assert (first.status, first.text) == (200, "1")
    assert second == 400
    assert (await polling.get()).status == 400


async def test_second_post_at_once_closes_the_session(server: Target) -> None:
    polling = await server.polling()
    unfinished = await server.connect()
    await unfinished.send(request_head("POST", polling.url, [("Content-Length", "10")]) + b"4hell")

    assert await _post_until_refused(polling) == 400


async def test_cancelled_poll_closes_the_session(server: Target) -> None:
    polling = await server.polling()
    pending = await polling.start_get()
    await server.polling()  # by now the poll was seen
    pending.abort()

    assert await _post_until_refused(polling) == 400


async def _post_until_refused(polling: Polling) -> int:
    async with asyncio.timeout(DEADLINE_S):
        while (reply := await polling.post("4x")).status == 200:
            pass
    return reply.status


async def test_octet_stream_post_is_refused_and_closes_the_session(server: Target) -> None:
    polling = await server.polling()

    reply = await polling.post(b"\x00\x01", content_type="application/octet-stream")

    assert reply.status == 400
    assert (await polling.get()).status == 400


async def test_poll_waits_until_there_is_something_to_send(server: Target) -> None:
    polling = await server.polling()
    pending = await polling.start_get()

    await polling.send("4late")
    reply = await read_reply(pending)

    assert (reply.status, reply.text) == (200, "4late")
