"""The closing handshake of RFC 6455: codes that are answered, codes that are not allowed, and what comes too late."""

from __future__ import annotations

import pytest

from . import frames
from .clients import Closed, Target

KEY = b"\0\0\0\0"

pytestmark = pytest.mark.usefixtures("canary")

VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
INVALID_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]


@pytest.mark.parametrize("code", VALID_CODES)
async def test_close_code_is_answered_with_itself(patient_server: Target, code: int) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(b"\x88\x82" + KEY + code.to_bytes(2, "big"))

    assert (await websocket.wait_closed()).code == code
    await websocket.wait_ended()


@pytest.mark.parametrize("code", INVALID_CODES)
async def test_close_code_that_is_not_allowed_is_answered_with_1002(patient_server: Target, code: int) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(b"\x88\x82" + KEY + code.to_bytes(2, "big"))

    assert (await websocket.wait_closed()).code == 1002


async def test_close_of_one_byte_is_answered_with_1002(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(b"\x88\x81" + KEY + b"\x03")

    assert (await websocket.wait_closed()).code == 1002


async def test_close_without_a_code_is_answered(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(b"\x88\x80" + KEY)

    closed = await websocket.wait_closed()
    assert closed.by_frame
    assert closed.code in (None, 1000)
    await websocket.wait_ended()


@pytest.mark.parametrize("reason", [b"bye", "é€🌡".encode(), b"x" * 123], ids=["ascii", "multi-byte", "123 bytes"])
async def test_close_with_a_reason_is_answered(patient_server: Target, reason: bytes) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.close(1000, reason))

    assert (await websocket.wait_closed()).code == 1000
    await websocket.wait_ended()


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(b"\x81\x86" + KEY + b"4hello", id="text"),
        pytest.param(b"\x89\x80" + KEY, id="ping"),
        pytest.param(b"\x88\x82" + KEY + b"\x03\xe9", id="second close"),
        pytest.param(b"\x83\x80" + KEY, id="violation"),
        pytest.param(b"\xff\xff\xff\xff", id="noise"),
    ],
)
async def test_frame_after_a_close_is_ignored(patient_server: Target, late: bytes) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.close(1000) + late)

    assert (await websocket.wait_closed()).code == 1000
    await websocket.wait_ended()


async def test_message_before_a_close_is_answered_before_it(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.text("4last") + frames.close(1000))

    assert await websocket.next_message() == "4last"
    assert (await websocket.wait_closed()).code == 1000


async def test_unfinished_message_before_a_close_is_dropped(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.text("4never", fin=False) + frames.close(1000))

    # RFC 6455 does not say whether this is an error: to the `websockets` parser of sensorcast it is.
    assert (await websocket.wait_closed()).code == patient_server.expect(sensorcast=1002, reference=1000)


async def test_peer_that_ends_without_a_close_frame_is_let_go(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    websocket.wire.finish()

    with pytest.raises(Closed):
        await websocket.next_message()
    await websocket.wait_ended()
