"""WebSocket frames that break RFC 6455: the violator is closed with the right code, and nobody else notices.

The frames are written out as bytes with a mask key of zero, so that payloads stay legible.
"""

from __future__ import annotations

import pytest

from . import frames
from .clients import Target

KEY = b"\0\0\0\0"

pytestmark = pytest.mark.usefixtures("canary")

RESERVED_BITS = [
    pytest.param(bytes([first]) + b"\x82" + KEY + b"4x", id=f"{bits:03b} on {name}")
    for bits in (0b100, 0b010, 0b001, 0b111)
    for opcode, name in [(1, "text"), (2, "binary"), (8, "close"), (9, "ping"), (10, "pong")]
    for first in [0x80 | bits << 4 | opcode]
]

RESERVED_OPCODES = [
    pytest.param(
        bytes([0x80 | opcode, 0x80 | len(payload)]) + KEY + payload, id=f"{opcode:#x} with {len(payload)} bytes"
    )
    for opcode in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)
    for payload in (b"", b"4x")
]

CONTROL_FRAMES = [
    pytest.param(b"\x89\xfe\x00\x7e" + KEY + b"x" * 126, id="ping of 126 bytes"),
    pytest.param(b"\x8a\xfe\x00\x7e" + KEY + b"x" * 126, id="pong of 126 bytes"),
    pytest.param(b"\x88\xfe\x00\x7e" + KEY + b"\x03\xe8" + b"x" * 124, id="close of 126 bytes"),
    pytest.param(b"\x89\xff" + b"\0" * 5 + b"\x01\0\0" + KEY + b"x" * 65_536, id="ping of 65536 bytes"),
    pytest.param(b"\x09\x81" + KEY + b"x", id="fragmented ping"),
    pytest.param(b"\x0a\x81" + KEY + b"x", id="fragmented pong"),
    pytest.param(b"\x08\x82" + KEY + b"\x03\xe8", id="fragmented close"),
    pytest.param(b"\x01\x82" + KEY + b"4a" + b"\x09\x80" + KEY, id="fragmented ping within a message"),
]

FRAGMENTS = [
    pytest.param(b"\x80\x82" + KEY + b"4x", id="last fragment of nothing"),
    pytest.param(b"\x00\x82" + KEY + b"4x", id="fragment of nothing"),
    pytest.param(b"\x80\x80" + KEY, id="empty fragment of nothing"),
    pytest.param(b"\x01\x82" + KEY + b"4a" + b"\x81\x82" + KEY + b"4b", id="text within text"),
    pytest.param(b"\x01\x82" + KEY + b"4a" + b"\x01\x82" + KEY + b"4b", id="fragmented text within text"),
    pytest.param(b"\x01\x82" + KEY + b"4a" + b"\x82\x82" + KEY + b"4b", id="binary within text"),
    pytest.param(b"\x02\x82" + KEY + b"4a" + b"\x81\x82" + KEY + b"4b", id="text within binary"),
    pytest.param(
        b"\x01\x82" + KEY + b"4a" + b"\x80\x81" + KEY + b"b" + b"\x80\x81" + KEY + b"c",
        id="fragment after the last one",
    ),
]

UNMASKED = [
    pytest.param(b"\x81\x024x", id="text"),
    pytest.param(b"\x82\x00", id="binary"),
    pytest.param(b"\x89\x00", id="ping"),
    pytest.param(b"\x8a\x00", id="pong"),
    pytest.param(b"\x88\x02\x03\xe8", id="close"),
    pytest.param(b"\x01\x82" + KEY + b"4a" + b"\x80\x01b", id="last fragment"),
]

INVALID_UTF8 = [
    pytest.param(b"\xff", id="0xff"),
    pytest.param(b"\xfe", id="0xfe"),
    pytest.param(b"\x80", id="continuation alone"),
    pytest.param(b"\xbf\xbf", id="two continuations alone"),
    pytest.param(b"\xc3", id="two bytes cut off"),
    pytest.param(b"\xe2\x82", id="three bytes cut off"),
    pytest.param(b"\xf0\x9f\x8c", id="four bytes cut off"),
    pytest.param(b"\xc3x", id="continuation missing"),
    pytest.param(b"\xc0\x80", id="overlong U+0000"),
    pytest.param(b"\xc1\xbf", id="overlong U+007F"),
    pytest.param(b"\xe0\x9f\xbf", id="overlong U+07FF"),
    pytest.param(b"\xf0\x8f\xbf\xbf", id="overlong U+FFFF"),
    pytest.param(b"\xed\xa0\x80", id="first surrogate"),
    pytest.param(b"\xed\xbf\xbf", id="last surrogate"),
    pytest.param(b"\xed\xa0\xbd\xed\xb8\x80", id="surrogate pair"),
    pytest.param(b"\xf4\x90\x80\x80", id="above U+10FFFF"),
    pytest.param(b"\xf8\x88\x80\x80\x80", id="five bytes"),
    pytest.param(b"\xfc\x84\x80\x80\x80\x80", id="six bytes"),
    pytest.param(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", id="surrogate after greek"),
]

OVERSIZE = [
    pytest.param(b"\x81\xff" + (1_000_001).to_bytes(8, "big") + KEY, id="text of 1000001"),
    pytest.param(b"\x82\xff" + (1_000_001).to_bytes(8, "big") + KEY, id="binary of 1000001"),
    pytest.param(b"\x81\xff" + (2**31).to_bytes(8, "big") + KEY, id="2^31"),
    pytest.param(b"\x81\xff" + (2**32 + 2).to_bytes(8, "big") + KEY, id="2^32+2"),
    pytest.param(b"\x81\xff" + (2**53).to_bytes(8, "big") + KEY, id="2^53"),
    pytest.param(b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + KEY, id="2^63-1"),
    pytest.param(
        b"\x01\xff" + (600_000).to_bytes(8, "big") + KEY + b"4" * 600_000
        + b"\x80\xff" + (600_000).to_bytes(8, "big") + KEY,
        id="sum of two fragments",
    ),
]  # fmt: skip


async def _close_code(server: Target, sent: bytes) -> int | None:
    websocket = await server.websocket()
    await websocket.send_bytes(sent)
    return (await websocket.wait_closed()).code


@pytest.mark.parametrize("sent", RESERVED_BITS)
async def test_reserved_bit_closes_with_1002(patient_server: Target, sent: bytes) -> None:
    assert await _close_code(patient_server, sent) == 1002


@pytest.mark.parametrize("sent", RESERVED_OPCODES)
async def test_reserved_opcode_closes_with_1002(patient_server: Target, sent: bytes) -> None:
    assert await _close_code(patient_server, sent) == 1002


@pytest.mark.parametrize("sent", CONTROL_FRAMES)
async def test_long_or_fragmented_control_frame_closes_with_1002(patient_server: Target, sent: bytes) -> None:
    assert await _close_code(patient_server, sent) == 1002


@pytest.mark.parametrize("sent", FRAGMENTS)
async def test_fragment_out_of_order_closes_with_1002(patient_server: Target, sent: bytes) -> None:
    websocket = await patient_server.websocket()
    await websocket.send_bytes(sent)

    if sent.endswith(b"\x80\x81" + KEY + b"c"):
        assert await websocket.next_message() == "4ab"
    assert (await websocket.wait_closed()).code == 1002


@pytest.mark.parametrize("sent", UNMASKED)
async def test_unmasked_frame_closes_with_1002(patient_server: Target, sent: bytes) -> None:
    assert await _close_code(patient_server, sent) == 1002


@pytest.mark.parametrize("payload", INVALID_UTF8)
async def test_text_that_is_not_utf8_closes_with_1007(patient_server: Target, payload: bytes) -> None:
    assert await _close_code(patient_server, frames.frame(frames.TEXT, b"4" + payload)) == 1007


@pytest.mark.parametrize("payload", INVALID_UTF8)
async def test_fragmented_text_that_is_not_utf8_closes_with_1007(patient_server: Target, payload: bytes) -> None:
    rest = [frames.frame(frames.CONTINUATION, payload[i : i + 1], fin=False) for i in range(len(payload))]
    sent = frames.text("4", fin=False) + b"".join(rest) + frames.frame(frames.CONTINUATION)

    assert await _close_code(patient_server, sent) == 1007


@pytest.mark.parametrize("payload", INVALID_UTF8)
async def test_close_reason_that_is_not_utf8_closes_with_1007(patient_server: Target, payload: bytes) -> None:
    assert await _close_code(patient_server, frames.close(1000, payload)) == 1007


@pytest.mark.parametrize("sent", OVERSIZE)
async def test_oversize_message_closes_with_1009_before_it_arrives(patient_server: Target, sent: bytes) -> None:
    assert await _close_code(patient_server, sent) == 1009


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
async def test_length_with_its_highest_bit_set_closes(patient_server: Target, length: int) -> None:
    # RFC 6455 forbids the bit (1002), and the message would be too big anyway (1009).
    assert await _close_code(patient_server, b"\x81\xff" + length.to_bytes(8, "big") + KEY) in (1002, 1009)


async def test_oversize_message_that_is_sent_whole_closes(patient_server: Target) -> None:
    # The close frame may be lost, because the server ends the connection with bytes of ours unread.
    assert await _close_code(patient_server, frames.text("4" * 3_000_000)) in (1009, None)


async def test_too_many_fragments_close_with_1008(patient_server: Target) -> None:
    # sensorcast allows 1,024 fragments a message, the reference 16,384.
    count = patient_server.expect(sensorcast=1_030, reference=16_390)
    fragment = frames.frame(frames.CONTINUATION, b"x", fin=False)

    assert await _close_code(patient_server, frames.text("4", fin=False) + fragment * count) == 1008


@pytest.mark.parametrize("payload", [b"x", b""], ids=["one byte each", "empty"])
async def test_a_million_fragments_close(patient_server: Target, payload: bytes) -> None:
    fragment = frames.frame(frames.CONTINUATION, payload, fin=False)

    # Again the close frame may be lost; empty fragments count like others.
    code = await _close_code(patient_server, frames.text("4", fin=False) + fragment * 1_000_000)

    assert code in (1008, None)
