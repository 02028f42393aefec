"""Engine.IO packets: literal text in, values out and back; whatever comes in, only `WireError` leaves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.wire import engineio
from sensorcast.wire.engineio import EnginePacket, PacketType, Timing, check_query, decode_payload, decode_text
from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Frame

TEXTS = {
    "open": ("0{}", EnginePacket(PacketType.OPEN, "{}")),
    "close": ("1", EnginePacket(PacketType.CLOSE, "")),
    "ping": ("2", EnginePacket(PacketType.PING, "")),
    "probe": ("2probe", EnginePacket(PacketType.PING, "probe")),
    "pong": ("3", EnginePacket(PacketType.PONG, "")),
    "message": ("4hello", EnginePacket(PacketType.MESSAGE, "hello")),
    "empty message": ("4", EnginePacket(PacketType.MESSAGE, "")),
    "multi-byte message": ("4€ 🌡", EnginePacket(PacketType.MESSAGE, "€ 🌡")),
    "upgrade": ("5", EnginePacket(PacketType.UPGRADE, "")),
    "noop": ("6", EnginePacket(PacketType.NOOP, "")),
}
BODIES = {
    "one": (b"4a", [EnginePacket(PacketType.MESSAGE, "a")]),
    "several": (b"4a\x1e3", [EnginePacket(PacketType.MESSAGE, "a"), EnginePacket(PacketType.PONG, "")]),
    "binary": (b"bAQIDBA==", [EnginePacket(PacketType.MESSAGE, b"\x01\x02\x03\x04")]),
    "empty binary": (b"b", [EnginePacket(PacketType.MESSAGE, b"")]),
    "multi-byte": ("4é".encode(), [EnginePacket(PacketType.MESSAGE, "é")]),
}
BAD_BODIES = {
    "empty": b"",
    "unknown type": b"7",
    "letter": b"abc",
    "digit of another script": "٤".encode(),
    "empty between separators": b"4a\x1e\x1e4b",
    "separator at the end": b"4a\x1e",
    "not base64": b"b!!!!",
    "cut base64": b"bAQIDB",
    "base64 with a line break": b"bAQID\nBA==",
    "base64 of the web alphabet": b"b__--",
    "not utf-8": b"4\xff",
    "cut utf-8": b"4\xe2\x82",
    "surrogate": b"4\xed\xa0\x80",
    "good before bad": b"4a\x1e9",
}
POLL = {"EIO": "4", "transport": "polling"}
QUERIES = {
    "handshake": (POLL, "polling", "GET", None),
    "push": (POLL | {"sid": "x"}, "polling", "POST", None),
    "websocket": (POLL | {"transport": "websocket"}, "websocket", "GET", None),
    "no transport": ({"EIO": "4"}, "polling", "GET", engineio.UNKNOWN_TRANSPORT),
    "other transport": (POLL | {"transport": "webtransport"}, "polling", "GET", engineio.UNKNOWN_TRANSPORT),
    "websocket asked over http": (POLL | {"transport": "websocket"}, "polling", "GET", engineio.UNKNOWN_TRANSPORT),
    "polling asked over websocket": (POLL, "websocket", "GET", engineio.UNKNOWN_TRANSPORT),
    "no version": ({"transport": "polling"}, "polling", "GET", engineio.BAD_VERSION),
    "version 3": (POLL | {"EIO": "3"}, "polling", "GET", engineio.BAD_VERSION),
    "version in words": (POLL | {"EIO": "abc"}, "polling", "GET", engineio.BAD_VERSION),
    "post without session": (POLL, "polling", "POST", engineio.BAD_METHOD),
    "put without session": (POLL, "polling", "PUT", engineio.BAD_METHOD),
}


@pytest.mark.parametrize(("text", "packet"), TEXTS.values(), ids=TEXTS.keys())
def test_text_is_decoded_by_its_type_digit(text: str, packet: EnginePacket) -> None:
    assert decode_text(text) == packet


@pytest.mark.parametrize("text", ["", "7", "-", " 4", "b", "\x00", "٤"])
def test_text_without_a_type_digit_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="packet type"):
        decode_text(text)


@pytest.mark.parametrize(("body", "packets"), BODIES.values(), ids=BODIES.keys())
def test_a_polling_body_is_its_packets_in_order(body: bytes, packets: list[EnginePacket]) -> None:
    assert decode_payload(body, max_packets=3) == packets


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_one_bad_packet_refuses_the_whole_body(body: bytes) -> None:
    with pytest.raises(WireError):
        decode_payload(body, max_packets=100)


def test_more_packets_than_allowed_are_refused_before_they_are_decoded() -> None:
    assert len(decode_payload(b"\x1e".join([b"6"] * 3), max_packets=3)) == 3
    with pytest.raises(WireError, match="more than 3 packets"):
        decode_payload(b"\x1e".join([b"6"] * 4), max_packets=3)


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from(["4a", "b", "bAA==", "2", "\x1e"])).map("".join).map(str.encode)
)
def test_no_body_makes_the_decoder_raise_anything_but_wire_error(body: bytes) -> None:
    try:
        packets = decode_payload(body, max_packets=20)
    except WireError:
        return
    assert 1 <= len(packets) <= 20
    assert sum(len(packet.data) for packet in packets) <= len(body)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_no_text_makes_the_decoder_raise_anything_but_wire_error(text: str) -> None:
    try:
        packet = decode_text(text)
    except WireError:
        return
    assert packet.kind.value + str(packet.data) == text


_TEXT_FRAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e")).map(
    lambda text: Frame(b"4" + text.encode())
)
_BINARY_FRAMES = st.binary(max_size=50).map(lambda blob: Frame(b"", (blob,)))


@given(st.lists(_TEXT_FRAMES | _BINARY_FRAMES, min_size=1, max_size=5))
def test_frames_come_back_from_a_polling_body(frames: list[Frame]) -> None:
    packets = decode_payload(engineio.encode_payload(frames), max_packets=5)
    assert [packet.data for packet in packets] == [
        frame.text[1:].decode() if frame.text else frame.attachments[0] for frame in frames
    ]


def test_attachments_follow_their_text_in_a_polling_body() -> None:
    frames = [Frame(b"452-[]", (b"\x01", b"\x02")), Frame(b"2")]
    assert engineio.encode_payload(frames) == b"452-[]\x1ebAQ==\x1ebAg==\x1e2"


def test_the_handshake_has_exactly_the_keys_of_the_protocol_in_milliseconds() -> None:
    timing = Timing(ping_interval_s=0.3, ping_timeout_s=0.2, max_payload_bytes=1_000_000)
    text = engineio.open_frame("abc", ["websocket"], timing).text
    assert json.loads(text.removeprefix(b"0")) == {
        "sid": "abc",
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }


@pytest.mark.parametrize(("query", "transport", "method", "refusal"), QUERIES.values(), ids=QUERIES.keys())
def test_a_request_is_checked_by_its_query(
    query: dict[str, str], transport: str, method: str, refusal: engineio.Refusal | None
) -> None:
    assert check_query(query, transport, method) == refusal
