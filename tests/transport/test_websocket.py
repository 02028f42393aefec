"""The fast path on a fake socket, with the client half of `websockets` as its peer."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from websockets.frames import Opcode

from sensorcast.transport import websocket
from sensorcast.transport.connection import SERVER_CLOSED
from sensorcast.wire.frame import Frame
from tests.conformance import frames as raw
from tests.transport.fakes import Server, flush


@pytest.fixture
async def server() -> Server:
    return Server()


# Opening


async def test_a_handshake_is_answered_with_the_open_packet_in_one_write(server: Server) -> None:
    peer = server.connect()
    assert peer.status == 101
    assert peer.transport.writes == 1
    assert server.sids == ["s0"]


async def test_the_handshake_of_the_peer_reaches_the_application(server: Server) -> None:
    server.connect("EIO=4&transport=websocket&unit=u1", headers=[("X-Kept", "a"), ("X-Kept", "b"), ("X-Other", "c")])
    handshake = server.handlers[0].handshake
    assert handshake.address == "192.0.2.7"
    assert handshake.headers == {"x-kept": "a, b"}
    assert handshake.query["unit"] == "u1"


async def test_a_refused_handshake_leaves_nothing_behind(server: Server) -> None:
    peer = server.connect("EIO=3&transport=websocket")
    assert peer.status == 400
    assert peer.transport.closing
    assert server.sids == []
    peer.raw(b"whatever comes now")


# Messages


@pytest.mark.parametrize("message", ["", "hello", "€ 🌡"], ids=["empty", "ascii", "multi-byte"])
async def test_a_text_message_is_passed_on(server: Server, message: str) -> None:
    server.connect().send("4" + message)
    assert server.handlers[0].messages == [message]


async def test_a_binary_message_is_passed_on(server: Server) -> None:
    server.connect().send(b"\x00\xff")
    assert server.handlers[0].messages == [b"\x00\xff"]


async def test_a_message_may_come_in_fragments_with_control_frames_between(server: Server) -> None:
    server.connect().raw(
        raw.frame(raw.TEXT, b"4\xe2\x82", fin=False)
        + raw.frame(raw.PING, b"?")
        + raw.frame(raw.CONTINUATION, b"", fin=False)
        + raw.frame(raw.CONTINUATION, b"\xac")
    )
    assert server.handlers[0].messages == ["€"]


async def test_a_binary_message_may_come_in_fragments(server: Server) -> None:
    server.connect().raw(raw.frame(raw.BINARY, b"\x01", fin=False) + raw.frame(raw.CONTINUATION, b"\x02"))
    assert server.handlers[0].messages == [b"\x01\x02"]


async def test_a_message_may_come_byte_by_byte(server: Server) -> None:
    peer = server.connect()
    for byte in raw.text("4hello"):
        peer.raw(bytes([byte]))
    assert server.handlers[0].messages == ["hello"]


async def test_a_message_longer_than_a_read_slice_is_passed_on(server: Server) -> None:
    server.connect().send("4" + "x" * 50_000)
    assert server.handlers[0].messages == ["x" * 50_000]


async def test_a_websocket_ping_is_answered(server: Server) -> None:
    peer = server.connect()
    peer.raw(raw.frame(raw.PING, b"abc"))
    assert [(frame.opcode, bytes(frame.data)) for frame in peer.frames()][-1] == (Opcode.PONG, b"abc")


async def test_what_answers_one_read_leaves_in_one_write(server: Server) -> None:
    peer = server.connect()
    server.handlers[0].receive = lambda message: peer.carrier.send(Frame(b"4" + message.encode()))  # type: ignore
    peer.transport.writes = 0
    peer.raw(raw.text("4a") + raw.text("4b") + raw.frame(raw.PING))
    assert peer.transport.writes == 1
    assert peer.received == ["4a", "4b"]


async def test_a_flush_sent_while_a_read_is_answered_keeps_its_place(server: Server) -> None:
    peer = server.connect()

    def answer(message: str | bytes) -> None:
        peer.carrier.send(Frame(b"4first"))
        peer.carrier.deliver(flush(Frame(b"4second")))
        peer.carrier.send(Frame(b"4third"))

    server.handlers[0].receive = answer  # type: ignore[method-assign]
    peer.send("4go")
    assert peer.received == ["4first", "4second", "4third"]


# Violations

VIOLATIONS = {
    "unknown packet type": (raw.text("9"), 1008),
    "empty packet": (raw.text(""), 1008),
    "packet only a server sends": (raw.text("0{}"), 1008),
    "message the application refuses": (raw.text("4bad"), 1008),
    "invalid utf-8": (raw.frame(raw.TEXT, b"4\xff"), 1007),
    "utf-8 cut at the end of its message": (
        raw.frame(raw.TEXT, b"4\xe2", fin=False) + raw.frame(raw.CONTINUATION, b"\x82"),
        1007,
    ),
    "surrogate": (raw.frame(raw.TEXT, b"4\xed\xa0\x80"), 1007),
    "unmasked": (raw.frame(raw.TEXT, b"4a", masked=False), 1002),
    "reserved bit": (raw.frame(raw.TEXT, b"4a", rsv=4), 1002),
    "unknown opcode": (raw.frame(0x3, b""), 1002),
    "continuation of nothing": (raw.frame(raw.CONTINUATION, b"a"), 1002),
    "message within a fragmented one": (raw.frame(raw.TEXT, b"4", fin=False) + raw.text("4"), 1002),
    "fragmented control frame": (raw.frame(raw.PING, b"", fin=False), 1002),
    "long control frame": (raw.frame(raw.PING, b"x" * 126), 1002),
    "close code that must not be sent": (raw.close(1005), 1002),
    "close frame of one byte": (raw.frame(raw.CLOSE, b"\x03"), 1002),
    "message too big": (raw.frame(raw.TEXT, b"", claimed_length=100_001), 1009),
    "astronomic length": (raw.frame(raw.TEXT, b"", claimed_length=2**63 - 1), 1009),
    "fragments too big together": (
        raw.frame(raw.TEXT, b"4" + b"x" * 60_000, fin=False) + raw.frame(raw.CONTINUATION, b"x" * 60_000),
        1009,
    ),
    "too many fragments": (
        raw.frame(raw.TEXT, b"4", fin=False) + raw.frame(raw.CONTINUATION, b"", fin=False) * 1_100,
        1008,
    ),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violator_is_told_and_closed_at_once(server: Server, data: bytes, code: int) -> None:
    peer, canary = server.connect(), server.connect()
    peer.raw(data)
    assert peer.close_code == code
    assert peer.transport.closing
    assert server.sids == ["s1"]
    canary.send("4still here")
    assert server.handlers[1].messages == ["still here"]


async def test_nothing_a_violator_sends_afterwards_is_read(server: Server) -> None:
    server.connect().raw(raw.text("9") + raw.text("4a"))
    assert server.handlers[0].messages == []
    assert len(server.handlers[0].events) == 1


async def test_what_came_before_a_violation_was_passed_on(server: Server) -> None:
    server.connect().raw(raw.text("4a") + raw.text("9"))
    assert server.handlers[0].messages == ["a"]


@pytest.mark.parametrize("flood", [raw.PING, raw.PONG, raw.TEXT], ids=["pings", "pongs", "messages"])
async def test_a_flood_is_cut_before_a_read_of_it_was_parsed(server: Server, flood: int) -> None:
    peer, parsed_bytes = server.connect(), list[int]()
    protocol = peer.carrier._protocol
    parse = protocol.receive_data
    protocol.receive_data = lambda data: (parsed_bytes.append(len(data)), parse(data))  # type: ignore
    peer.raw(raw.frame(flood, b"4" if flood == raw.TEXT else b"") * 40_000)
    assert peer.close_code == 1008
    assert server.handlers[0].events[0].startswith("closed: protocol error: too many packets")
    assert sum(parsed_bytes) < 10_000


async def test_a_long_reason_still_fits_a_close_frame(server: Server) -> None:
    peer = server.connect()
    server.handlers[0].connection.close("protocol error: " + "é" * 200)
    assert peer.close_code == 1008


# Ends


async def test_a_client_that_closes_gets_its_close_frame_back(server: Server) -> None:
    peer = server.connect()
    peer.raw(raw.close(1000, b"bye"))
    assert peer.close_code == 1000
    assert server.handlers[0].events == ["closed: transport close"]


@pytest.mark.parametrize(
    ("reason", "code"), [(SERVER_CLOSED, 1001), ("ping timeout", 1000), ("protocol error: x", 1008)]
)
async def test_the_close_code_tells_why_the_server_closes(server: Server, reason: str, code: int) -> None:
    peer = server.connect()
    server.handlers[0].connection.close(reason)
    assert peer.close_code == code


async def test_a_lost_connection_ends_its_session_once(server: Server) -> None:
    peer = server.connect()
    peer.vanish()
    peer.carrier.connection_lost(None)
    assert server.handlers[0].events == ["closed: transport close"]
    assert server.sids == []


async def test_a_closing_socket_that_takes_nothing_is_aborted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LINGER_S", 0.0)
    peer = server.connect()
    server.handlers[0].connection.close("enough")
    async with asyncio.timeout(30):
        while not peer.transport.aborted:
            await asyncio.sleep(0)


async def test_nothing_is_written_after_the_end(server: Server) -> None:
    peer = server.connect()
    peer.vanish()
    peer.transport.writes = 0
    peer.carrier.send(Frame(b"2"))
    peer.carrier.close("again")
    peer.carrier.resume_writing()
    peer.carrier.pause_writing()
    peer.raw(raw.text("4a"))
    assert peer.transport.writes == 0


async def test_a_closed_connection_is_kept_alive_by_nothing(server: Server) -> None:
    class Watched(server.websocket_class):  # type: ignore[name-defined, misc]
        __slots__ = ("__weakref__",)

    server.websocket_class = Watched
    peer = server.connect()
    handler = weakref.ref(server.handlers.pop())
    carrier = weakref.ref(peer.carrier)
    peer.vanish()
    del peer
    gc.collect()
    assert handler() is None
    assert carrier() is None
