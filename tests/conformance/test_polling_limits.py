"""Long-polling at its limits: body size, broken bodies, requests that never finish, pages of other origins."""

from __future__ import annotations

import asyncio

import pytest

from .clients import ENGINE_PATH, SEPARATOR, Polling, Refused, Target
from .wire import DEADLINE_S, read_reply, request_head

MAX_PAYLOAD_BYTES = 1_000_000

pytestmark = pytest.mark.usefixtures("canary")


async def _expect_closed(polling: Polling) -> None:
    """The session is over; whatever answers of it are still under way say so."""
    async with asyncio.timeout(DEADLINE_S):
        while (reply := await polling.get()).status == 200:
            assert set(reply.text.split(SEPARATOR)) <= {"1", "6"}, reply.text
    assert reply.status == 400


async def _expect_closed_as_violator(polling: Polling, target: Target) -> None:
    # The reference refuses the body and keeps the session; to sensorcast the sender is a violator.
    if not target.is_reference:
        await _expect_closed(polling)


async def test_body_of_exactly_the_limit_is_taken(patient_server: Target) -> None:
    polling = await patient_server.polling()
    packet = "4" + "x" * (MAX_PAYLOAD_BYTES - 1)

    await polling.send(packet)

    assert await polling.receive() == packet


async def test_limit_counts_bytes_and_not_characters(patient_server: Target) -> None:
    polling = await patient_server.polling()

    reply = await polling.post("4" + "é" * 500_000)

    assert reply.status == 413


async def test_body_above_the_limit_is_answered_with_413(patient_server: Target) -> None:
    polling = await patient_server.polling()

    reply = await polling.post("4" + "x" * MAX_PAYLOAD_BYTES)

    assert reply.status == 413
    await _expect_closed_as_violator(polling, patient_server)


async def test_body_far_above_the_limit_is_answered_with_413(patient_server: Target) -> None:
    polling = await patient_server.polling()

    reply = await polling.post("4" * 20_000_000)

    assert reply.status == 413
    await _expect_closed_as_violator(polling, patient_server)


async def test_chunked_body_above_the_limit_is_answered_with_413(patient_server: Target) -> None:
    polling = await patient_server.polling()
    wire = await patient_server.connect()
    chunk = b"186a0\r\n" + b"4" * 100_000 + b"\r\n"

    await wire.send(request_head("POST", polling.url, [("Transfer-Encoding", "chunked")]) + chunk * 11)

    assert (await read_reply(wire)).status == 413
    await _expect_closed_as_violator(polling, patient_server)


@pytest.mark.parametrize("patient_server", ["sensorcast"], indirect=True)
@pytest.mark.parametrize("length", [MAX_PAYLOAD_BYTES + 1, 10**12, 2**63 - 1])
async def test_body_announced_above_the_limit_is_refused_before_it_comes(patient_server: Target, length: int) -> None:
    # The reference counts only what has arrived.
    polling = await patient_server.polling()
    wire = await patient_server.connect()

    await wire.send(request_head("POST", polling.url, [("Content-Length", str(length))]))

    assert (await read_reply(wire)).status == 413
    await _expect_closed(polling)


@pytest.mark.parametrize("length", ["-1", "abc", "1,2", "9" * 5_000])
async def test_content_length_that_is_no_number_is_refused(patient_server: Target, length: str) -> None:
    polling = await patient_server.polling()
    wire = await patient_server.connect()

    await wire.send(request_head("POST", polling.url, [("Content-Length", length)]) + b"4x")

    assert (await read_reply(wire)).status == 400


@pytest.mark.parametrize("payload", [b"4\xff", b"4\xed\xa0\x80", b"\xff", b"4\xe2\x82"])
async def test_body_that_is_not_utf8_closes(patient_server: Target, payload: bytes) -> None:
    polling = await patient_server.polling()

    reply = await polling.post(payload)

    # The reference puts U+FFFD in its place and goes on; 0xff alone leaves no packet type even then.
    if patient_server.is_reference and payload != b"\xff":
        assert "\ufffd" in await polling.receive()
        return
    assert reply.status == patient_server.expect(sensorcast=400, reference=200)
    await _expect_closed(polling)


@pytest.mark.parametrize("packet", ["b!", "bA", "b AQID", "b=", "bé"])
async def test_base64_that_is_not_base64_closes(patient_server: Target, packet: str) -> None:
    polling = await patient_server.polling()

    reply = await polling.post(packet)

    # The reference decodes what it can and passes that on.
    if patient_server.is_reference:
        assert (await polling.receive()).startswith("b")
        return
    assert reply.status == 400
    await _expect_closed(polling)


async def test_sender_that_vanishes_in_its_body_closes_the_session(patient_server: Target) -> None:
    polling = await patient_server.polling()
    wire = await patient_server.connect()
    await wire.send(request_head("POST", polling.url, [("Content-Length", "10")]) + b"4hell")
    await patient_server.polling()  # by now the first half was seen

    wire.abort()

    await _expect_closed(polling)


async def test_connection_is_kept_for_the_next_request(patient_server: Target) -> None:
    polling = await patient_server.polling()
    wire = await patient_server.connect()

    for number in range(3):
        body = f"4{number}".encode()
        await wire.send(request_head("POST", polling.url, [("Content-Length", str(len(body)))]) + body)
        assert (await read_reply(wire)).status == 200
        await wire.send(request_head("GET", polling.url))
        assert (await read_reply(wire)).body == body


async def test_pipelined_requests_are_answered_in_order(patient_server: Target) -> None:
    polling = await patient_server.polling()
    wire = await patient_server.connect()
    post = request_head("POST", polling.url, [("Content-Length", "2")]) + b"4x"

    await wire.send(post + request_head("GET", polling.url))

    assert (await read_reply(wire)).text == "ok"
    assert (await read_reply(wire)).text == "4x"


ORIGIN_URL = f"{ENGINE_PATH}?EIO=4&transport={{}}"


@pytest.mark.parametrize("patient_server", ["sensorcast"], indirect=True)
@pytest.mark.parametrize("origin", ["http://evil.example", "http://conformance.test.evil.example", "null"])
async def test_page_of_another_origin_gets_no_session(patient_server: Target, origin: str) -> None:
    # The reference checks no origin: there only the browser keeps a page from reading polling answers.
    headers = [("Origin", origin)]

    reply = await patient_server.request("GET", ORIGIN_URL.format("polling"), headers=headers)
    with pytest.raises(Refused) as refused:
        await patient_server.raw_websocket(ORIGIN_URL.format("websocket"), headers)

    assert reply.status == refused.value.reply.status == 403
    assert "access-control-allow-origin" not in reply.headers


async def test_page_of_the_same_origin_gets_a_session(patient_server: Target) -> None:
    headers = [("Origin", "http://conformance.test")]  # the Host that every request of these clients names

    reply = await patient_server.request("GET", ORIGIN_URL.format("polling"), headers=headers)
    websocket = await patient_server.raw_websocket(ORIGIN_URL.format("websocket"), headers)

    assert reply.status == 200
    assert str(await websocket.next_message()).startswith("0{")
