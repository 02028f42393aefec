"""Socket.IO packets: literal text in, values out and back, hostile text refused, nothing kept beyond the limits."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.strict_json import JsonError
from sensorcast.wire.engineio import PacketType, decode_text
from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Conflation, Frame
from sensorcast.wire.socketio import (
    RESERVED_EVENTS,
    DecodeLimits,
    PacketDecoder,
    SocketPacket,
    SocketPacketType,
    connect_error_frame,
    connect_frame,
    disconnect_frame,
    encode_ack,
    encode_event,
    event_frame,
)

KIND = SocketPacketType
BINARY = DecodeLimits(max_attachments=10)

PACKETS = {
    "connect": ("0", SocketPacket(KIND.CONNECT, "/", None, None)),
    "connect with auth": ('0{"token":"t"}', SocketPacket(KIND.CONNECT, "/", None, {"token": "t"})),
    "connect elsewhere": ("0/custom,", SocketPacket(KIND.CONNECT, "/custom", None, None)),
    "connect elsewhere without comma": ("0/custom", SocketPacket(KIND.CONNECT, "/custom", None, None)),
    "connect elsewhere with auth": ('0/a,{"b":1}', SocketPacket(KIND.CONNECT, "/a", None, {"b": 1})),
    "disconnect": ("1", SocketPacket(KIND.DISCONNECT, "/", None, None)),
    "disconnect elsewhere": ("1/a,", SocketPacket(KIND.DISCONNECT, "/a", None, None)),
    "event": ('2["hello",1,null]', SocketPacket(KIND.EVENT, "/", None, ["hello", 1, None])),
    "event elsewhere": ('2/a,["b"]', SocketPacket(KIND.EVENT, "/a", None, ["b"])),
    "event that wants an answer": ('212["b"]', SocketPacket(KIND.EVENT, "/", 12, ["b"])),
    "event elsewhere that wants an answer": ('2/a,0["b"]', SocketPacket(KIND.EVENT, "/a", 0, ["b"])),
    "largest ack id": ('29007199254740991["b"]', SocketPacket(KIND.EVENT, "/", 2**53 - 1, ["b"])),
    "event with a numeric name": ("2[7]", SocketPacket(KIND.EVENT, "/", None, [7])),
    "event with a comma in its text": ('2["a,b","/c,"]', SocketPacket(KIND.EVENT, "/", None, ["a,b", "/c,"])),
    "prototype key": ('2["a",{"__proto__":1}]', SocketPacket(KIND.EVENT, "/", None, ["a", {"__proto__": 1}])),
    "multi-byte": ('2["é🌡"]', SocketPacket(KIND.EVENT, "/", None, ["é🌡"])),
    "ack": ("37[1]", SocketPacket(KIND.ACK, "/", 7, [1])),
    "empty ack": ("3/a,7[]", SocketPacket(KIND.ACK, "/a", 7, [])),
}  # fmt: skip

REFUSED = {
    "empty": "",
    "unknown type": "9",
    "letter": "x",
    "type of another script": "٢[]",
    "connect error from a client": '4{"message":"x"}',
    "connect with an array": "0[]",
    "connect with a string": '0"x"',
    "connect with bare null": "0null",
    "connect with an ack id": "01{}",
    "disconnect with payload": '1{"a":1}',
    "disconnect with an ack id": "11",
    "event without payload": "2",
    "event with an object": "2{}",
    "event without a name": "2[]",
    "event named null": "2[null]",
    "event named true": "2[true]",
    "event named by an object": "2[{}]",
    "event with bare null": "2null",
    "ack without id": "3[]",
    "ack without payload": "31",
    "ack with an object": "31{}",
    "ack id too large": '29007199254740992["a"]',
    "ack id of many digits": f'2{"9" * 5_000}["a"]',
    "ack id with letters": '2abc["a"]',
    "negative ack id": '2-1["a"]',
    "cut json": '2["a"',
    "text after json": '2["a"]]',
    "nan": '2["a",NaN]',
    "number beyond double": '2["a",1e400]',
    "lone surrogate": '2["\\ud800"]',
    "too deep": '2["a",[[[[[[[[1]]]]]]]]]',
    "very deep": "2" + "[" * 50_000,
    "namespace too long": f"0/{'x' * 128},",
    "namespace without end": f"0/{'x' * 50_000}",
    "binary event without count": '5["a"]',
    "binary event with zero attachments": '50-["a"]',
    "binary event with a sign": '5+1-["a"]',
    "binary event with a space": '5 1-["a"]',
    "binary event with digits of another script": '5١-["a"]',
    "more attachments than allowed": '511-["a"]',
    "millions of attachments": '599999999-["a"]',
    "count without end": "5" + "1" * 50_000,
    "binary ack without id": "61-[]",
}

PLACEHOLDERS = {
    "number too large": '{"_placeholder":true,"num":1}',
    "negative number": '{"_placeholder":true,"num":-1}',
    "number as text": '{"_placeholder":true,"num":"0"}',
    "fraction": '{"_placeholder":true,"num":0.5}',
    "truth value": '{"_placeholder":true,"num":true}',
    "no number": '{"_placeholder":true}',
    "null": '{"_placeholder":true,"num":null}',
}


@pytest.mark.parametrize(("text", "packet"), PACKETS.values(), ids=PACKETS.keys())
def test_text_is_decoded(text: str, packet: SocketPacket) -> None:
    assert PacketDecoder(DecodeLimits()).feed(text) == packet


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_text_that_breaks_the_protocol_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        PacketDecoder(BINARY).feed(text)


@pytest.mark.parametrize("name", sorted(RESERVED_EVENTS))
def test_an_event_with_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        PacketDecoder(DecodeLimits()).feed(f'2["{name}"]')


def test_attachments_take_the_place_of_their_placeholders() -> None:
    decoder = PacketDecoder(BINARY)
    assert decoder.feed('52-/a,3["b",{"x":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]') is None
    assert decoder.feed(b"\x01") is None
    assert decoder.feed(b"\x02") == SocketPacket(KIND.EVENT, "/a", 3, ["b", {"x": b"\x02"}, b"\x01"])


def test_a_binary_ack_becomes_an_ack() -> None:
    decoder = PacketDecoder(BINARY)
    decoder.feed('61-5[{"_placeholder":true,"num":0}]')
    assert decoder.feed(b"") == SocketPacket(KIND.ACK, "/", 5, [b""])


def test_a_decoder_goes_on_after_a_binary_packet() -> None:
    decoder = PacketDecoder(BINARY)
    for _ in range(2):
        decoder.feed('51-["a",{"_placeholder":true,"num":0}]')
        assert decoder.feed(b"x") is not None
    assert decoder.feed('2["b"]') is not None


@pytest.mark.parametrize("placeholder", PLACEHOLDERS.values(), ids=PLACEHOLDERS.keys())
def test_a_placeholder_of_nothing_is_refused(placeholder: str) -> None:
    decoder = PacketDecoder(BINARY)
    decoder.feed(f'51-["a",{placeholder}]')
    with pytest.raises(WireError, match="placeholder"):
        decoder.feed(b"x")


def test_an_object_that_only_looks_like_a_placeholder_stays() -> None:
    text = '2["a",{"_placeholder":true,"num":0},{"_placeholder":1,"num":0}]'
    packet = PacketDecoder(BINARY).feed(text)
    assert packet is not None
    assert packet.data[1:] == [{"_placeholder": True, "num": 0}, {"_placeholder": 1, "num": 0}]


def test_bytes_that_no_packet_asked_for_are_refused() -> None:
    with pytest.raises(WireError, match="no packet asked for"):
        PacketDecoder(BINARY).feed(b"x")


def test_text_before_the_last_attachment_is_refused() -> None:
    decoder = PacketDecoder(BINARY)
    decoder.feed('52-["a"]')
    decoder.feed(b"x")
    with pytest.raises(WireError, match="attachments are missing"):
        decoder.feed('2["b"]')


def test_by_default_no_client_may_send_attachments() -> None:
    with pytest.raises(WireError, match="setting attachments_max"):
        PacketDecoder(DecodeLimits()).feed('51-["a",{"_placeholder":true,"num":0}]')


_PIECES = st.sampled_from(
    ["0", "1", "2", "3", "5", "6", "-", "/", "/a", ",", "1", "[", "]", '"a"', "{", "}", ":", "null"]
)
_HOSTILE = st.lists(_PIECES, max_size=12).map("".join) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(_HOSTILE | st.binary(max_size=8), max_size=20))
def test_no_message_makes_the_decoder_raise_anything_but_wire_error(messages: list[str | bytes]) -> None:
    decoder = PacketDecoder(BINARY)
    for message in messages:
        try:
            packet = decoder.feed(message)
        except WireError:
            return
        assert packet is None or packet.kind in {KIND.CONNECT, KIND.DISCONNECT, KIND.EVENT, KIND.ACK}


@given(st.integers(1, 10), st.lists(st.binary(max_size=8), max_size=40))
def test_a_decoder_never_keeps_more_attachments_than_announced(count: int, blobs: list[bytes]) -> None:
    decoder = PacketDecoder(BINARY)
    decoder.feed(f'5{count}-["a"]')
    for number, blob in enumerate(blobs, 1):
        if number > count:
            with pytest.raises(WireError):
                decoder.feed(blob)
            break
        assert (decoder.feed(blob) is not None) == (number == count)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "é", ""]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_ROOMY = DecodeLimits(max_depth=64, max_attachments=10)
_NAMESPACES = st.sampled_from(["/", "/a", "/a/b"])
_ACK_IDS = st.integers(0, 2**53 - 1)


def returned(frame: Frame) -> SocketPacket | None:
    """What a peer reads from a frame: its text and attachments, fed to a decoder."""
    outer = decode_text(frame.text.decode())
    assert outer.kind is PacketType.MESSAGE
    decoder = PacketDecoder(_ROOMY)
    packet = decoder.feed(outer.data)
    for blob in frame.attachments:
        packet = decoder.feed(blob)
    return packet


def _attachment_count(value: Any) -> int:
    if isinstance(value, bytes):
        return 1
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_attachment_count, parts))


@given(
    _NAMESPACES, st.lists(_JSON, max_size=4).filter(lambda args: _attachment_count(args) <= 10), st.none() | _ACK_IDS
)
def test_an_event_comes_back_as_it_was_sent(namespace: str, args: list[Any], ack_id: int | None) -> None:
    frame = encode_event(namespace, "hello", args, ack_id)
    assert returned(frame) == SocketPacket(KIND.EVENT, namespace, ack_id, ["hello", *args])


@given(_NAMESPACES, st.lists(_JSON, max_size=4).filter(lambda args: _attachment_count(args) <= 10), _ACK_IDS)
def test_an_answer_comes_back_as_it_was_sent(namespace: str, args: list[Any], ack_id: int) -> None:
    assert returned(encode_ack(namespace, ack_id, args)) == SocketPacket(KIND.ACK, namespace, ack_id, args)


ENCODED = {
    "event": (encode_event("/", "a", [1, "é"]), '42["a",1,"é"]'),
    "event elsewhere that wants an answer": (encode_event("/b", "a", [], 3), '42/b,3["a"]'),
    "answer": (encode_ack("/", 3, [None]), "433[null]"),
    "answer without arguments": (encode_ack("/b", 3, []), "43/b,3[]"),
    "accepted connect": (connect_frame("/", "x"), '40{"sid":"x"}'),
    "accepted connect elsewhere": (connect_frame("/b", "x"), '40/b,{"sid":"x"}'),
    "refused connect": (connect_error_frame("/x", "Invalid namespace"), '44/x,{"message":"Invalid namespace"}'),
    "refused connect with data": (connect_error_frame("/", "no", {"c": 1}), '44{"message":"no","data":{"c":1}}'),
    "disconnect": (disconnect_frame("/"), "41"),
    "disconnect elsewhere": (disconnect_frame("/b"), "41/b,"),
    "event of encoded arguments": (event_frame("a", b"1", b"{}"), '42["a",1,{}]'),
    "event of no arguments": (event_frame("a"), '42["a"]'),
    "event of encoded arguments elsewhere": (event_frame("a", b"1", namespace="/b"), '42/b,["a",1]'),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "text"), ENCODED.values(), ids=ENCODED.keys())
def test_frames_are_the_literal_text_of_the_protocol(frame: Frame, text: str) -> None:
    assert frame.text.decode() == text
    assert frame.attachments == ()


def test_bytes_leave_as_attachments_in_order_of_appearance() -> None:
    frame = encode_event("/b", "a", [b"\x01", {"x": [bytearray(b"\x02")]}, memoryview(b"\x03")], 7)
    assert frame.attachments == (b"\x01", b"\x02", b"\x03")
    assert frame.text.startswith(b'453-/b,7["a",')
    assert json.loads(frame.text.partition(b",7")[2])[2] == {"x": [{"_placeholder": True, "num": 1}]}


def test_a_frame_of_a_batch_keeps_what_it_may_be_replaced_by() -> None:
    assert event_frame("a", conflation=Conflation("unit:1", 5)).conflation == ("unit:1", 5)
    assert encode_event("/", "a", []).conflation is None


@pytest.mark.parametrize(
    "value", [math.nan, [math.inf], {"a": -math.inf}, "\ud800", {"\udc00": 1}, object(), 1j],
    ids=["nan", "infinity", "nested", "surrogate", "surrogate key", "object", "complex"],
)  # fmt: skip
def test_what_a_browser_could_not_parse_is_never_encoded(value: Any) -> None:
    with pytest.raises(JsonError):
        encode_event("/", "a", [value])


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(JsonError, match="deeper than 64 levels"):
        encode_event("/", "a", [endless])
