"""Violations close at once, not by the ping timeout that would hide a server that never noticed them.

All of it runs at the default heartbeat of 25 s + 20 s. A violation is tried three times and the best time counts:
what is judged is the server, not the load of the machine.
"""

from __future__ import annotations

import time

import pytest

from . import frames
from .clients import (
    ENGINE_PATH,
    SEPARATOR,
    SOCKET_PATH,
    Polling,
    Target,
    connect_namespace,
    seconds_to_close,
)

PROMPT_S = 0.5
ATTEMPTS = 3
# A peer that does not answer a close frame may be waited for, but not for long.
UNANSWERED_CLOSE_S = 10.0

ENGINE_VIOLATIONS = [
    pytest.param("abc", id="invalid packet"),
    pytest.param("", id="empty packet"),
    pytest.param("2", id="ping from a client"),
]

SOCKET_VIOLATIONS = [
    pytest.param("4abc", id="unknown packet type"),
    pytest.param("42{}", id="invalid payload"),
    pytest.param('42abc["message-with-ack","x"]', id="invalid ack id"),
    pytest.param('42["disconnect"]', id="reserved event"),
    pytest.param('4599999-["message"]', id="too many attachments"),
    pytest.param("40", id="second connect"),
    pytest.param('42/custom,["message"]', id="event to a namespace not joined"),
]

FRAME_VIOLATIONS = [
    pytest.param(frames.frame(frames.TEXT, b"4x", masked=False), id="unmasked"),
    pytest.param(frames.frame(frames.TEXT, b"4x", rsv=4), id="reserved bit"),
    pytest.param(frames.frame(0x3), id="reserved opcode"),
    pytest.param(frames.frame(frames.PING, b"x" * 126), id="long ping"),
    pytest.param(frames.frame(frames.TEXT, b"4\xff"), id="invalid UTF-8"),
    pytest.param(frames.frame(frames.TEXT, claimed_length=2**63 - 1), id="length 2^63-1"),
    pytest.param(frames.frame(frames.TEXT, claimed_length=1_000_001), id="oversize"),
    pytest.param(frames.close(1000), id="close frame"),
]


async def _best_of(attempts: int, measure) -> float:
    return min([await measure() for _ in range(attempts)])


@pytest.mark.parametrize("packet", ENGINE_VIOLATIONS)
async def test_engine_violation_closes_a_websocket_at_once(patient_server: Target, packet: str) -> None:
    async def attempt() -> float:
        return await seconds_to_close(await patient_server.websocket(), frames.text(packet))

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("packet", SOCKET_VIOLATIONS)
async def test_socket_violation_closes_a_websocket_at_once(patient_server: Target, packet: str) -> None:
    async def attempt() -> float:
        websocket = await patient_server.websocket(SOCKET_PATH)
        await connect_namespace(websocket)
        return await seconds_to_close(websocket, frames.text(packet))

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("packet", ["4abc", '42["message","early"]', "41", "40[]"])
async def test_invalid_first_packet_closes_a_websocket_at_once(patient_server: Target, packet: str) -> None:
    async def attempt() -> float:
        return await seconds_to_close(await patient_server.websocket(SOCKET_PATH), frames.text(packet))

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("violation", FRAME_VIOLATIONS)
async def test_frame_violation_closes_a_websocket_at_once(patient_server: Target, violation: bytes) -> None:
    async def attempt() -> float:
        return await seconds_to_close(await patient_server.websocket(), violation)

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("path", [ENGINE_PATH, SOCKET_PATH])
async def test_close_packet_closes_a_websocket_at_once(patient_server: Target, path: str) -> None:
    websocket = await patient_server.websocket(path)

    # The reference does not act on this packet over websocket; only its ping timeout ends the session.
    if patient_server.is_reference:
        await websocket.send("1")
        await websocket.send("4echo" if path == ENGINE_PATH else "40")
        assert await websocket.receive()
        return
    assert await seconds_to_close(websocket, frames.text("1")) < PROMPT_S


async def _seconds_to_refusal(polling: Polling, payload: str) -> float:
    started = time.monotonic()
    await polling.post(payload)
    while (reply := await polling.get()).status == 200:
        assert set(reply.text.split(SEPARATOR)) <= {"1", "6"}, reply.text
    return time.monotonic() - started


@pytest.mark.parametrize("packet", [*ENGINE_VIOLATIONS, pytest.param("1", id="close packet")])
async def test_engine_violation_closes_a_polling_session_at_once(patient_server: Target, packet: str) -> None:
    async def attempt() -> float:
        return await _seconds_to_refusal(await patient_server.polling(), packet)

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("packet", SOCKET_VIOLATIONS)
async def test_socket_violation_closes_a_polling_session_at_once(patient_server: Target, packet: str) -> None:
    async def attempt() -> float:
        polling = await patient_server.polling(SOCKET_PATH)
        await connect_namespace(polling)
        return await _seconds_to_refusal(polling, packet)

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("violation", ["abc", "4abc"])
async def test_violation_answers_the_pending_poll_at_once(patient_server: Target, violation: str) -> None:
    async def attempt() -> float:
        polling = await patient_server.polling(SOCKET_PATH)
        pending = await polling.start_get()
        await patient_server.polling()  # by now the poll was seen
        started = time.monotonic()
        await polling.post(violation)
        await pending.take_all()
        return time.monotonic() - started

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S


@pytest.mark.parametrize("patient_server", ["sensorcast"], indirect=True)
@pytest.mark.parametrize("violation", [frames.text("abc"), frames.frame(0x3), frames.text("4abc")])
async def test_closed_peer_that_never_answers_the_close_is_cut(patient_server: Target, violation: bytes) -> None:
    # The reference waits 30 s for the answer.
    websocket = await patient_server.websocket(SOCKET_PATH)

    await websocket.send_bytes(violation)

    await websocket.wait_ended(deadline_s=UNANSWERED_CLOSE_S)


async def test_answered_close_ends_the_connection_at_once(patient_server: Target) -> None:
    async def attempt() -> float:
        websocket = await patient_server.websocket()
        started = time.monotonic()
        await websocket.send("abc")
        await websocket.wait_closed()
        await websocket.send_bytes(frames.close(1000))
        await websocket.wait_ended()
        return time.monotonic() - started

    assert await _best_of(ATTEMPTS, attempt) < PROMPT_S
