"""WebSocket frames that are right, however unusual: the bare echo must give the message back.

The frames are written out as bytes; their mask key is zero where the payload should stay legible.
"""

from __future__ import annotations

import pytest

from . import frames
from .clients import Target

KEY = b"\0\0\0\0"

MESSAGES = [
    pytest.param(b"\x81\x86" + KEY + b"4hello", "4hello", id="text"),
    pytest.param(b"\x81\x85\x37\xfa\x21\x3d\x03\xb2\x44\x51\x5b", "4Hell", id="text under another mask"),
    pytest.param(b"\x82\x83" + KEY + b"\x00\xff\x1e", b"\x00\xff\x1e", id="binary"),
    pytest.param(b"\x82\x80" + KEY, b"", id="empty binary"),
    pytest.param(b"\x81\xfe\x00\x02" + KEY + b"4x", "4x", id="length in 16 bits without need"),
    pytest.param(b"\x81\xff" + b"\0" * 7 + b"\x02" + KEY + b"4x", "4x", id="length in 64 bits without need"),
    pytest.param(b"\x01\x82" + KEY + b"4a" + b"\x80\x81" + KEY + b"b", "4ab", id="two text fragments"),
    pytest.param(b"\x02\x81" + KEY + b"a" + b"\x80\x81" + KEY + b"b", b"ab", id="two binary fragments"),
    pytest.param(
        b"\x01\x80" + KEY + b"\x00\x82" + KEY + b"4a" + b"\x00\x80" + KEY + b"\x80\x80" + KEY,
        "4a",
        id="empty first, middle and last fragments",
    ),
    pytest.param(
        b"\x01\x82" + KEY + b"4a" + b"\x8a\x84" + KEY + b"pong" + b"\x80\x81" + KEY + b"b",
        "4ab",
        id="unasked pong between fragments",
    ),
    pytest.param(
        b"\x01\x82" + KEY + b"4\xe2" + b"\x00\x81" + KEY + b"\x82" + b"\x80\x81" + KEY + b"\xac",
        "4€",
        id="code point over three fragments",
    ),
    pytest.param(
        b"\x01\x83" + KEY + b"4\xf0\x9f" + b"\x89\x80" + KEY + b"\x80\x82" + KEY + b"\x8c\xa1",
        "4🌡",
        id="code point over two fragments and a ping between",
    ),
]

VALID_UTF8 = [
    pytest.param(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", id="greek"),
    pytest.param(b"\x00", id="U+0000"),
    pytest.param(b"\x7f", id="U+007F"),
    pytest.param(b"\xc2\x80", id="U+0080"),
    pytest.param(b"\xdf\xbf", id="U+07FF"),
    pytest.param(b"\xe0\xa0\x80", id="U+0800"),
    pytest.param(b"\xed\x9f\xbf", id="U+D7FF"),
    pytest.param(b"\xee\x80\x80", id="U+E000"),
    pytest.param(b"\xef\xbf\xbe", id="U+FFFE"),
    pytest.param(b"\xef\xbf\xbf", id="U+FFFF"),
    pytest.param(b"\xef\xbb\xbf", id="U+FEFF"),
    pytest.param(b"\xf0\x90\x80\x80", id="U+10000"),
    pytest.param(b"\xf4\x8f\xbf\xbf", id="U+10FFFF"),
]


@pytest.mark.parametrize(("sent", "echo"), MESSAGES)
async def test_message_comes_back_however_it_was_framed(patient_server: Target, sent: bytes, echo: str | bytes) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(sent)

    assert await websocket.next_message() == echo


@pytest.mark.parametrize(("sent", "echo"), MESSAGES)
async def test_message_comes_back_when_its_bytes_trickle_in(
    patient_server: Target, sent: bytes, echo: str | bytes
) -> None:
    websocket = await patient_server.websocket()

    for position in range(len(sent)):
        await websocket.send_bytes(sent[position : position + 1])

    assert await websocket.next_message() == echo


@pytest.mark.parametrize("size", [1, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537, 999_999, 1_000_000])
@pytest.mark.parametrize("opcode", [frames.TEXT, frames.BINARY], ids=["text", "binary"])
async def test_message_of_every_length_form_comes_back(patient_server: Target, opcode: int, size: int) -> None:
    websocket = await patient_server.websocket()
    payload = b"4" + b"x" * (size - 1)

    await websocket.send_bytes(frames.frame(opcode, payload))

    assert await websocket.next_message() == (payload.decode() if opcode == frames.TEXT else payload)


async def test_messages_in_one_segment_come_back_in_order(patient_server: Target) -> None:
    websocket = await patient_server.websocket()
    sent = [f"4{number}" for number in range(200)]

    await websocket.send_bytes(b"".join(map(frames.text, sent)))

    assert [await websocket.next_message() for _ in sent] == sent


@pytest.mark.parametrize("payload", VALID_UTF8)
async def test_valid_utf8_comes_back(patient_server: Target, payload: bytes) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.frame(frames.TEXT, b"4" + payload))

    assert await websocket.next_message() == "4" + payload.decode()


@pytest.mark.parametrize("payload", VALID_UTF8)
async def test_valid_utf8_comes_back_from_fragments_of_one_byte(patient_server: Target, payload: bytes) -> None:
    websocket = await patient_server.websocket()
    rest = [frames.frame(frames.CONTINUATION, payload[i : i + 1], fin=False) for i in range(len(payload))]

    await websocket.send_bytes(frames.frame(frames.TEXT, b"4", fin=False) + b"".join(rest))
    await websocket.send_bytes(frames.frame(frames.CONTINUATION))

    assert await websocket.next_message() == "4" + payload.decode()


async def test_message_of_1000_fragments_comes_back(patient_server: Target) -> None:
    websocket = await patient_server.websocket()
    middle = frames.frame(frames.CONTINUATION, b"x", fin=False) * 998

    await websocket.send_bytes(frames.text("4", fin=False) + middle + frames.frame(frames.CONTINUATION, b"y"))

    assert await websocket.next_message() == "4" + "x" * 998 + "y"


@pytest.mark.parametrize(
    ("sent", "payload"),
    [
        pytest.param(b"\x89\x80" + KEY, b"", id="empty"),
        pytest.param(b"\x89\x85" + KEY + b"Hello", b"Hello", id="text"),
        pytest.param(b"\x89\x83" + KEY + b"\x00\xff\xfe", b"\x00\xff\xfe", id="not UTF-8"),
        pytest.param(b"\x89\xfd" + KEY + b"x" * 125, b"x" * 125, id="125 bytes"),
    ],
)
async def test_ping_is_answered_by_a_pong_with_its_payload(patient_server: Target, sent: bytes, payload: bytes) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(sent)

    assert await websocket.next_frame() == frames.Frame(frames.PONG, payload)


async def test_pings_are_answered_in_order(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(b"".join(frames.frame(frames.PING, bytes([number])) for number in range(10)))

    answers = [await websocket.next_frame() for _ in range(10)]
    assert answers == [frames.Frame(frames.PONG, bytes([number])) for number in range(10)]


async def test_ping_between_fragments_is_answered_before_the_message(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.text("4a", fin=False) + frames.frame(frames.PING, b"?"))
    pong = await websocket.next_frame()
    await websocket.send_bytes(frames.frame(frames.CONTINUATION, b"b"))

    assert pong == frames.Frame(frames.PONG, b"?")
    assert await websocket.next_message() == "4ab"


async def test_unasked_pongs_are_ignored(patient_server: Target) -> None:
    websocket = await patient_server.websocket()

    await websocket.send_bytes(frames.frame(frames.PONG) + frames.frame(frames.PONG, b"unasked"))
    await websocket.send("4after")

    assert await websocket.next_frame() == frames.Frame(frames.TEXT, b"4after")
