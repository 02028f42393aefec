"""The codec of the Redis adapter's broadcasts, against bytes that the npm packages wrote."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.wire.errors import WireError
from sensorcast.wire.redis_adapter import (
    MESSAGE_MAX_BYTES,
    ROOMS_MAX,
    Broadcast,
    channel_of,
    channel_pattern,
    decode_broadcast,
    encode_broadcast,
)

FROM_EMITTER = bytes.fromhex(
    "93a7656d697474657283a47479706502a46461746193a66e6f7469636582a16101a16293cb3ff8000000000000c0a2c3a9c0a36e7370a12f"
    "83a5726f6f6d7391a86f72673a61636d65a5666c61677380a665786365707490"
)
"""`new Emitter(redis).to("org:acme").emit("notice", {a: 1, b: [1.5, null, "é"]}, undefined)`"""

FROM_ADAPTER = bytes.fromhex(
    "93a661626364656682a47479706502a46461746192a178cf000001000000000083a5726f6f6d7390a665786365707492a17205a5666c616773"
    "82a8766f6c6174696c65c3a8636f6d7072657373c2"
)
"""`io.except(["r", 5]).volatile.compress(false).emit("x", 2 ** 40)`, the namespace left out."""


def test_what_the_npm_emitter_writes_is_understood() -> None:
    assert decode_broadcast(FROM_EMITTER) == Broadcast(
        uid="emitter",
        namespace="/",
        event="notice",
        args=[{"a": 1, "b": [1.5, None, "é"]}, None],
        rooms=["org:acme"],
        except_rooms=[],
    )


def test_what_the_npm_adapter_writes_is_understood() -> None:
    assert decode_broadcast(FROM_ADAPTER) == Broadcast(
        uid="abcdef", namespace="/", event="x", args=[2**40], rooms=[], except_rooms=["r", "5"], volatile=True
    )


def test_a_broadcast_comes_back_as_it_went() -> None:
    sent = Broadcast(uid="a", namespace="/x", event="e", args=[[1], {"b": True}], rooms=["r"], except_rooms=["s"])
    assert decode_broadcast(encode_broadcast(sent)) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(b"\x93", id="cut off"),
        pytest.param(json.dumps(["a", {"data": ["e"]}, {}]).encode(), id="JSON"),
        pytest.param(msgspec.msgpack.encode(["a", {"type": 3, "data": ["e"]}, {}]), id="an acknowledgement"),
        pytest.param(msgspec.msgpack.encode(["a", {"type": 2, "data": []}, {}]), id="no event"),
        pytest.param(msgspec.msgpack.encode(["a", {"type": 2, "data": [7]}, {}]), id="a number for an event"),
        pytest.param(msgspec.msgpack.encode(["a", {"type": 2, "data": ["disconnect"]}, {}]), id="a reserved event"),
        pytest.param(msgspec.msgpack.encode(["a", {"type": 2, "data": ["e"]}, {"rooms": "all"}]), id="rooms no list"),
        pytest.param(
            msgspec.msgpack.encode(["a", {"type": 2, "data": ["e"]}, {"rooms": ["r"] * (ROOMS_MAX + 1)}]),
            id="too many rooms",
        ),
        pytest.param(b"\x91" * 100_000, id="deep"),
        pytest.param(b"\x00" * (MESSAGE_MAX_BYTES + 1), id="too long"),
    ],
)
def test_anything_else_is_a_wire_error(wrong: bytes) -> None:
    with pytest.raises(WireError):
        decode_broadcast(wrong)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_wire_error(message: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_broadcast(message)


@given(st.integers(0, len(FROM_ADAPTER) - 1), st.integers(0, 255))
def test_a_changed_byte_raises_nothing_but_a_wire_error(at: int, value: int) -> None:
    changed = FROM_ADAPTER[:at] + bytes((value,)) + FROM_ADAPTER[at + 1 :]
    with contextlib.suppress(WireError):
        assert decode_broadcast(changed).event


def test_one_room_has_a_channel_of_its_own_and_several_share_one() -> None:
    assert channel_of("socket.io", "/", ["org:acme"]) == "socket.io#/#org:acme#"
    assert channel_of("socket.io", "/", ["a", "b"]) == channel_of("socket.io", "/", []) == "socket.io#/#"


def test_the_pattern_takes_the_key_literally() -> None:
    assert channel_pattern("my*app", "/") == "my\\*app#/#*"
