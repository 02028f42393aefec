"""Control frames are refused by their header; everything else is as in `websockets`."""

from __future__ import annotations

import pytest
from websockets.protocol import OPEN

from sensorcast.transport.inbound import InboundProtocol
from tests.conformance import frames as raw


@pytest.fixture
def protocol() -> InboundProtocol:
    return InboundProtocol(100_000)


@pytest.mark.parametrize("opcode", [raw.PING, raw.PONG, raw.CLOSE])
@pytest.mark.parametrize("length", [126, 70_000])
def test_a_long_control_frame_is_refused_when_its_header_is_there(
    protocol: InboundProtocol, opcode: int, length: int
) -> None:
    protocol.receive_data(raw.frame(raw.TEXT, b"4a"))
    header = raw.frame(opcode, b"", claimed_length=length)[:2]
    protocol.receive_data(header[:1])
    assert protocol.state is OPEN
    protocol.receive_data(header[1:])
    assert str(protocol.parser_exc) == "control frame too long"
    assert b"".join(protocol.data_to_send())[2:4] == (1002).to_bytes(2)


def test_the_longest_control_frame_is_answered(protocol: InboundProtocol) -> None:
    protocol.receive_data(raw.frame(raw.PING, b"x" * 125))
    assert protocol.parser_exc is None
    assert b"".join(protocol.data_to_send()).endswith(b"x" * 125)


def test_messages_arrive_however_they_are_cut(protocol: InboundProtocol) -> None:
    for byte in raw.frame(raw.TEXT, b"4a") + raw.frame(raw.BINARY, b"x" * 300):
        protocol.receive_data(bytes((byte,)))
    assert [bytes(each.data) for each in protocol.events_received()] == [b"4a", b"x" * 300]


def test_a_stream_that_ends_within_a_header_is_over(protocol: InboundProtocol) -> None:
    protocol.receive_data(b"\x81")
    protocol.receive_eof()
    assert isinstance(protocol.parser_exc, EOFError)


def test_what_comes_after_a_close_frame_is_thrown_away(protocol: InboundProtocol) -> None:
    protocol.receive_data(raw.close(1000) + raw.frame(raw.PING, b"x" * 126))
    protocol.receive_data(raw.frame(raw.PING, b"x" * 126))
    assert protocol.parser_exc is None
