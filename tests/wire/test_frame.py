"""Outbound frames: literal WebSocket bytes, shared buffers, and compression that any peer can undo alone."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.wire.frame import DEFLATE_MIN_BYTES, Bundle, Frame, websocket_text
from tests.conformance.frames import BINARY, TEXT, header_size

LENGTHS = {
    "empty": (0, b"\x81\x00"),
    "largest of 7 bits": (125, b"\x81\x7d"),
    "smallest of 16 bits": (126, b"\x81\x7e\x00\x7e"),
    "largest of 16 bits": (65_535, b"\x81\x7e\xff\xff"),
    "smallest of 64 bits": (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
}
PAYLOADS = st.binary(max_size=1_000)


def unframed(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Read joined frames as (opcode, compressed, payload as the application sent it)."""
    found = []
    while data:
        size = header_size(data)
        length = data[1] & 0x7F if size == 2 else int.from_bytes(data[2:size])
        body, compressed = data[size : size + length], bool(data[0] & 0x40)
        if compressed:
            body = zlib.decompressobj(-15).decompress(body + b"\x00\x00\xff\xff")
        found.append((data[0] & 0x0F, compressed, body))
        data = data[size + length :]
    return found


@pytest.mark.parametrize(("length", "header"), LENGTHS.values(), ids=LENGTHS.keys())
def test_length_is_encoded_in_the_fewest_bytes(length: int, header: bytes) -> None:
    assert websocket_text(b"x" * length) == header + b"x" * length


def test_a_frame_is_its_text_followed_by_its_attachments() -> None:
    frame = Frame(b"451-[]", (b"\x00\xff", b""))
    assert frame.websocket == b"\x81\x06451-[]" + b"\x82\x02\x00\xff" + b"\x82\x00"


def test_a_bare_binary_message_has_no_text_frame() -> None:
    assert Frame(b"", (b"\x01",)).websocket == b"\x82\x01\x01"


def test_bytes_are_computed_once_for_all_subscribers() -> None:
    frame = Frame(b"2" * 300)
    assert frame.websocket is frame.websocket
    assert frame.deflated is frame.deflated


def test_a_bundle_joins_its_frames_once_in_order() -> None:
    bundle = Bundle(iter([Frame(b"42[1]"), Frame(b"42[2]")]))
    assert bundle.websocket == b"\x81\x0542[1]\x81\x0542[2]"
    assert bundle.websocket is bundle.websocket
    assert bundle.deflated is bundle.deflated


def test_an_empty_bundle_is_no_bytes() -> None:
    assert Bundle(()).websocket == Bundle(()).deflated == b""


def test_short_packets_go_uncompressed_to_everybody() -> None:
    frame = Frame(b"4" * (DEFLATE_MIN_BYTES - 1))
    assert frame.deflated == frame.websocket


def test_long_packets_are_compressed_with_the_rsv1_bit() -> None:
    frame = Frame(b"4" * DEFLATE_MIN_BYTES)
    assert frame.deflated[0] == 0xC1
    assert len(frame.deflated) < 30
    assert not frame.deflated.endswith(b"\x00\x00\xff\xff")  # RFC 7692, 7.2.1: both sides leave them out


def test_each_compressed_frame_can_be_read_without_those_before_it() -> None:
    first, second = Frame(b"4" + b"abc" * 200), Frame(b"4" + b"abc" * 200)
    assert first.deflated == second.deflated
    assert unframed(Bundle([first, second]).deflated) == [(TEXT, True, first.text), (TEXT, True, second.text)]


@given(st.lists(st.tuples(PAYLOADS.filter(bool), st.lists(PAYLOADS, max_size=2)), max_size=4))
def test_both_forms_carry_the_same_messages(packets: list[tuple[bytes, list[bytes]]]) -> None:
    frames = [Frame(text, tuple(blobs)) for text, blobs in packets]
    messages = [each for text, blobs in packets for each in [(TEXT, text), *((BINARY, blob) for blob in blobs)]]
    for form in (Bundle(frames).websocket, Bundle(frames).deflated):
        assert [(opcode, body) for opcode, _, body in unframed(form)] == messages
