"""The fast path on a fake socket, with the client half of `websockets` as its peer."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from websockets.frames import Opcode

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport import websocket
from sensorcast.transport.connection import SERVER_CLOSED
from sensorcast.transport.polling import PollingCarrier
from sensorcast.wire.engineio import Timing
from sensorcast.wire.frame import Bundle, Frame
from tests.conformance import frames as raw
from tests.transport.fakes import Peer, Server, batch, flush

SOFT, HARD = 1_000, 4_000


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def slow_server() -> Server:
    """Few bytes make its clients slow."""
    return Server(outbound_soft_bytes=SOFT, outbound_hard_bytes=HARD)


def slow_client(server: Server) -> Peer:
    """A client that does not read, with as much unsent as makes the server conflate."""
    peer = server.connect(blocked=True)
    peer.carrier.send(Frame(b"4" + b"x" * SOFT))
    assert not peer.carrier.writable
    return peer


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


async def test_large_answers_to_one_read_are_not_piled_up(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    answer = Frame(b"4" + b"x" * websocket.CORK_MAX_BYTES)
    slow_server.handlers[0].receive = lambda message: peer.carrier.send(answer)  # type: ignore[method-assign]
    peer.raw(raw.text("4go") * 50)
    assert len(peer.transport.unsent) < 2 * websocket.CORK_MAX_BYTES
    assert peer.transport.aborted


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
    peer = server.connect()
    peer.raw(raw.frame(flood, b"4" if flood == raw.TEXT else b"") * 40_000)
    assert peer.close_code == 1008
    assert server.handlers[0].events[0].startswith("closed: protocol error: too many packets")
    assert len(peer.carrier._protocol.events) < websocket.READ_SLICE_BYTES


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


async def test_a_peer_that_half_closes_is_gone_even_if_it_reads_nothing(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    peer.carrier.eof_received()
    assert slow_server.sids == []
    assert peer.carrier._linger is not None


async def test_a_closing_socket_that_takes_nothing_is_aborted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LINGER_S", 0.0)
    peer = server.connect()
    server.handlers[0].connection.close("enough")
    async with asyncio.timeout(1):
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


# Slow readers


async def test_a_flush_is_one_write_of_the_shared_buffer(server: Server) -> None:
    peers = [server.connect() for _ in range(3)]
    bundle = flush(batch("u1", 1), batch("u2", 1))
    for peer in peers:
        peer.transport.writes = 0
        peer.carrier.deliver(bundle)
    assert [peer.transport.writes for peer in peers] == [1, 1, 1]
    assert [peer.received for peer in peers] == [['42["batch","u1",1]', '42["batch","u2",1]']] * 3


async def test_a_slow_client_is_owed_only_the_newest_batch_of_each_unit(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    for rank in (1, 2, 3):
        peer.carrier.deliver(flush(batch("u1", rank), batch("u2", rank)))
    peer.transport.drain()
    assert peer.received[1:] == ['42["batch","u1",3]', '42["batch","u2",3]']


async def test_a_slow_client_is_told_once_and_once_more_when_it_has_everything(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    for rank in (1, 2, 3):
        peer.carrier.deliver(flush(batch("u1", rank)))
    assert slow_server.handlers[0].events == ["slowed"]
    peer.transport.drain()
    assert slow_server.handlers[0].events == ["slowed", "restored"]


async def test_a_client_that_lost_nothing_is_told_nothing(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    peer.carrier.deliver(flush(batch("u1", 1), batch("u2", 1)))
    peer.transport.drain()
    assert slow_server.handlers[0].events == []
    assert len(peer.received) == 3


async def test_a_client_that_blocks_again_while_it_is_served_is_owed_the_rest(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    for rank in (1, 2):
        peer.carrier.deliver(flush(*(batch(f"u{unit}", rank, size=600) for unit in range(6))))
    peer.transport.drain(len(peer.transport.unsent))
    assert not peer.carrier.writable
    assert len(peer.transport.unsent) < 2 * SOFT
    peer.transport.drain()
    peer.transport.drain()
    assert [str(message).strip() for message in peer.received[1:]] == [f'42["batch","u{unit}",2]' for unit in range(6)]
    assert slow_server.handlers[0].events == ["slowed", "restored"]


async def test_a_flush_larger_than_the_soft_limit_goes_frame_by_frame(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    bundle = flush(*(batch(f"u{unit}", 1, size=600) for unit in range(6)))
    peer.carrier.deliver(bundle)
    assert len(peer.transport.unsent) < 2 * SOFT
    peer.transport.drain()
    peer.transport.drain()
    assert len(peer.received) == 6


async def test_events_that_cannot_be_conflated_are_kept_up_to_the_hard_limit(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    before = CLIENTS_CUT.labels("bytes")._value.get()
    for _ in range(3):
        peer.carrier.deliver(flush(Frame(b"4" + b"x" * 900)))
    assert not peer.transport.aborted
    peer.carrier.deliver(flush(Frame(b"4" + b"x" * 900)))
    assert peer.transport.aborted
    assert slow_server.handlers[0].events == ["closed: transport close: too slow"]
    assert CLIENTS_CUT.labels("bytes")._value.get() == before + 1


async def test_a_client_that_takes_nothing_for_the_stall_time_is_cut(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    slow_server.live(9.5)
    assert not peer.transport.aborted
    slow_server.live(3.5)
    assert peer.transport.aborted
    assert slow_server.sids == []


async def test_a_client_that_takes_a_little_is_not_cut(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    for _ in range(5):
        slow_server.live(4.0)
        peer.transport.drain(1)
    assert not peer.transport.aborted


async def test_pings_of_its_own_are_no_progress_of_a_client_that_reads_nothing(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    for _ in range(13):
        slow_server.live(1.0)
        peer.raw(raw.frame(raw.PING, b"x"))
    assert peer.transport.aborted


async def test_a_client_that_recovers_is_not_watched_for_ever(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    peer.transport.drain()
    slow_server.live(3.0)
    assert not peer.carrier._watched
    assert all(peer.carrier not in slot for slot in slow_server.endpoint.wheel._slots.values())


async def test_a_slow_client_delays_nobody(slow_server: Server) -> None:
    slow, quick = slow_client(slow_server), slow_server.connect()
    for rank in (1, 2):
        for peer in (slow, quick):
            peer.carrier.deliver(flush(batch("u1", rank)))
    assert quick.received == ['42["batch","u1",1]', '42["batch","u1",2]']


# Upgrades


def polling_session(server: Server) -> PollingCarrier:
    """A session that polls, its handshake answered."""
    carrier = PollingCarrier(server.endpoint.limits)
    carrier.connection = server.endpoint.open(carrier, address="", query={}, headers={})
    carrier.take()
    return carrier


async def test_a_websocket_takes_a_polling_session_over(server: Server) -> None:
    carrier = polling_session(server)
    peer = server.probe("s0")
    peer.send("2probe")
    assert peer.received == ["3probe"]
    assert carrier.wait().done()
    assert carrier.take() == b"6"
    peer.send("5")
    peer.send("4hello")
    assert server.handlers[0].messages == ["hello"]
    assert carrier.connection is not None
    assert carrier.connection.carrier is peer.carrier


async def test_what_polling_still_owed_comes_first(server: Server) -> None:
    carrier = polling_session(server)
    peer = server.probe("s0")
    peer.send("2probe")
    carrier.send(Frame(b"4a"))
    carrier.deliver(Bundle([Frame(b"4b")]))
    peer.send("5")
    peer.carrier.send(Frame(b"4c"))
    assert peer.received == ["3probe", "4a", "4b", "4c"]


WRONG_PROBES = {
    "message instead of probe": ["4hello"],
    "bytes instead of probe": [b"2probe"],
    "upgrade without probe": ["5"],
    "probe twice": ["2probe", "2probe"],
    "message after the probe": ["2probe", "4hello"],
    "unknown packet": ["x"],
}


@pytest.mark.parametrize("messages", WRONG_PROBES.values(), ids=WRONG_PROBES.keys())
async def test_a_probe_that_fails_leaves_polling_alive(server: Server, messages: list[str | bytes]) -> None:
    carrier = polling_session(server)
    peer = server.probe("s0")
    for message in messages:
        peer.send(message)
    assert peer.close_code == 1008
    waiting = carrier.wait()
    assert not waiting.done()
    carrier.send(Frame(b"4alive"))
    assert waiting.done()
    assert carrier.take() == b"4alive"
    assert server.handlers[0].events == []


async def test_a_client_that_lost_batches_is_told_after_all_it_was_owed(slow_server: Server) -> None:
    carrier = polling_session(slow_server)
    handler, peer = slow_server.handlers[0], slow_server.probe("s0")
    handler.restored = lambda: handler.connection.send(Frame(b"4restored"))  # type: ignore[method-assign]
    for rank in (1, 2):
        carrier.deliver(flush(Frame(b"4" + b"x" * SOFT), batch("u1", rank)))
    peer.send("2probe")
    peer.send("5")
    assert [message[-20:] for message in peer.received] == [
        "3probe",
        "x" * 20,
        "x" * 20,
        '42["batch","u1",2]',
        "4restored",
    ]


async def test_a_probe_that_goes_away_leaves_polling_alive(server: Server) -> None:
    carrier = polling_session(server)
    peer = server.probe("s0")
    peer.send("2probe")
    peer.vanish()
    assert not carrier.upgrading
    assert server.sids == ["s0"]


async def test_an_upgrade_that_does_not_finish_is_closed_in_time() -> None:
    server = Server(timing=Timing(upgrade_timeout_s=2.0))
    carrier = polling_session(server)
    peer = server.probe("s0")
    peer.send("2probe")
    server.live(1.8)
    assert not peer.transport.closing
    server.live(0.4)
    assert peer.close_code == 1008
    assert not carrier.upgrading


async def test_of_two_websockets_that_probe_the_first_wins(server: Server) -> None:
    carrier = polling_session(server)
    first, second = server.probe("s0"), server.probe("s0")
    first.send("2probe")
    second.send("2probe")
    assert second.close_code == 1008
    assert carrier.upgrading
    first.send("5")
    first.send("4hello")
    assert server.handlers[0].messages == ["hello"]


async def test_a_websocket_that_comes_while_another_upgrades_is_refused(server: Server) -> None:
    polling_session(server)
    server.probe("s0").send("2probe")
    assert server.probe("s0").status == 400


async def test_a_websocket_that_probes_a_session_carried_by_another_is_closed(server: Server) -> None:
    polling_session(server)
    first, late = server.probe("s0"), server.probe("s0")
    for message in ("2probe", "5"):
        first.send(message)
    late.send("2probe")
    assert late.close_code == 1008
    assert server.handlers[0].events == []


async def test_a_probe_of_a_session_that_ended_meanwhile_is_closed(server: Server) -> None:
    carrier = polling_session(server)
    peer = server.probe("s0")
    assert carrier.connection is not None
    carrier.connection.close("enough")
    peer.send("2probe")
    assert peer.close_code == 1008


async def test_a_flood_of_pings_on_a_probe_is_cut(server: Server) -> None:
    polling_session(server)
    peer = server.probe("s0")
    peer.raw(raw.frame(raw.PING) * 5_000)
    assert peer.close_code == 1008
    assert server.sids == []
