"""A WebSocket whose peer does not read: conflated, told once, cut at the limits, and nobody else notices."""

from __future__ import annotations

import pytest

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport import outbound
from sensorcast.wire.frame import Frame
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


async def test_one_large_answer_does_not_cut_a_client_that_owes_nothing(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    peer.carrier.send(Frame(b"4" + b"x" * 10 * HARD))
    for _ in range(3):
        peer.carrier.send(Frame(b"4" + b"x" * 900))
    assert not peer.transport.aborted
    peer.carrier.send(Frame(b"4" + b"x" * 900))
    assert peer.transport.aborted


async def test_a_second_large_answer_cuts_a_client_that_has_not_read_the_first(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    assert peer.carrier.takes(Frame(b"4" + b"x" * 10 * HARD))
    peer.carrier.send(Frame(b"4" + b"x" * 10 * HARD))
    assert peer.carrier.takes(Frame(b"4small"))
    assert not peer.carrier.takes(Frame(b"4" + b"x" * 10 * HARD))
    peer.carrier.send(Frame(b"4" + b"x" * 10 * HARD))
    assert peer.transport.aborted


async def test_a_large_answer_that_is_not_read_is_cut_after_the_stall_time(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    peer.carrier.send(Frame(b"4" + b"x" * 10 * HARD))
    slow_server.live(13.0)
    assert peer.transport.aborted


async def test_after_a_large_answer_was_read_the_limits_are_those_of_before(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    peer.carrier.send(Frame(b"4" + b"x" * 10 * HARD))
    peer.transport.drain()
    peer.transport.blocked = True
    for _ in range(6):
        peer.carrier.send(Frame(b"4" + b"x" * 900))
    assert peer.transport.aborted


async def test_only_those_who_have_not_taken_everything_owe_something(slow_server: Server) -> None:
    peer, reading_on = slow_server.connect(blocked=True), slow_server.connect()
    for each in (peer, reading_on):
        each.carrier.deliver(flush(batch("u1", 1)))
    assert slow_server.endpoint.owing == {peer.carrier}
    peer.transport.drain()
    assert slow_server.endpoint.owing == set()


async def test_who_is_gone_owes_nothing(slow_server: Server) -> None:
    vanished, cut = slow_client(slow_server), slow_client(slow_server)
    vanished.vanish()
    cut.carrier.cut("total")
    assert slow_server.endpoint.owing == set()


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


async def test_large_answers_to_one_read_are_not_piled_up(slow_server: Server) -> None:
    peer = slow_server.connect(blocked=True)
    answer = Frame(b"4" + b"x" * outbound.CORK_MAX_BYTES)
    slow_server.handlers[0].receive = lambda message: peer.carrier.send(answer)  # type: ignore[method-assign]
    peer.raw(raw.text("4go") * 50)
    assert len(peer.transport.unsent) < 2 * outbound.CORK_MAX_BYTES
    assert peer.transport.aborted


async def test_a_peer_that_half_closes_is_gone_even_if_it_reads_nothing(slow_server: Server) -> None:
    peer = slow_client(slow_server)
    peer.carrier.eof_received()
    assert slow_server.sids == []
    assert peer.carrier._linger is not None
