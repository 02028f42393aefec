"""Frames between workers: literal bytes, any cut of the stream, and nothing but `WireError` for nonsense."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.wire.errors import WireError
from sensorcast.wire.mesh import (
    Kind,
    MeshFrame,
    MeshReader,
    encode,
    encode_message,
    encode_number,
    encode_unlisten,
)

FRAMES = [
    (encode_number(Kind.HELLO, 3), b"\0\0\0\4\1\0\0\0\3", MeshFrame(Kind.HELLO, 3)),
    (encode_number(Kind.LISTEN, 7, "a"), b"\0\0\0\5\2\0\0\0\7a", MeshFrame(Kind.LISTEN, 7, "a")),
    (encode_unlisten("é"), b"\0\0\0\2\3\xc3\xa9", MeshFrame(Kind.UNLISTEN, 0, "é")),
    (encode(Kind.READY), b"\0\0\0\0\4", MeshFrame(Kind.READY)),
    (encode_number(Kind.CONFIRM, 7), b"\0\0\0\4\5\0\0\0\7", MeshFrame(Kind.CONFIRM, 7)),
    (encode_message("a", b"\0x"), b"\0\0\0\5\6\0\1a\0x", MeshFrame(Kind.MESSAGE, 0, "a", b"\0x")),
    (encode(Kind.LOST), b"\0\0\0\0\7", MeshFrame(Kind.LOST)),
    (encode(Kind.BYE), b"\0\0\0\0\10", MeshFrame(Kind.BYE)),
]


@pytest.mark.parametrize(("encoded", "literal", "frame"), FRAMES, ids=[frame.kind.name for _, _, frame in FRAMES])
def test_each_kind_is_these_bytes_and_back(encoded: bytes, literal: bytes, frame: MeshFrame) -> None:
    assert encoded == literal
    assert MeshReader().receive(literal) == [frame]


@given(st.integers(1, 20))
def test_a_stream_cut_anywhere_gives_the_same_frames(step: int) -> None:
    stream = b"".join(encoded for encoded, _, _ in FRAMES)
    reader = MeshReader()
    found = [frame for at in range(0, len(stream), step) for frame in reader.receive(stream[at : at + step])]
    assert found == [frame for _, _, frame in FRAMES]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\6",
        b"\0\0\0\0\0",
        b"\0\0\0\0\x63",
        b"\0\0\0\1\2a",
        b"\0\0\0\1\6a",
        b"\0\0\0\3\6\0\5a",
        b"\0\0\0\1\3\xff",
    ],
    ids=["too long", "no kind", "unknown kind", "no number", "no length", "channel too long", "not UTF-8"],
)
def test_nonsense_is_an_error_of_the_wire(data: bytes) -> None:
    with pytest.raises(WireError):
        MeshReader().receive(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error_of_the_wire(data: bytes) -> None:
    with contextlib.suppress(WireError):
        MeshReader().receive(data)


def test_what_could_not_be_read_is_not_written() -> None:
    with pytest.raises(WireError):
        encode_message("c" * 65_536, b"")
