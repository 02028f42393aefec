"""The queue between two GETs: each frame in one answer, bounded for a client that does not come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport.polling import PollingCarrier
from sensorcast.wire.frame import Bundle, Frame
from tests.transport.fakes import Recorder, Server, batch, flush

SOFT, HARD = 1_000, 4_000


class Session:
    """A polling session whose opening was taken."""

    def __init__(self) -> None:
        self.server = Server(outbound_soft_bytes=SOFT, outbound_hard_bytes=HARD)
        self.carrier = PollingCarrier(self.server.endpoint)
        self.carrier.connection = self.server.endpoint.open(self.carrier, address="", query={}, headers={})
        self.carrier.take()

    @property
    def handler(self) -> Recorder:
        return self.server.handlers[0]


def filler(size: int = SOFT + 1) -> Frame:
    """An event that may not be conflated, of as many bytes as make a client slow."""
    return Frame(b"4" + b"x" * (size - 1))


async def test_a_get_waits_until_there_is_something_to_send() -> None:
    carrier = Session().carrier
    waiting = carrier.wait()
    assert (waiting.done(), carrier.is_polled) == (False, True)
    carrier.send(Frame(b"4a"))
    assert waiting.done()
    assert carrier.take() == b"4a"
    assert not carrier.is_polled


async def test_a_get_that_finds_something_does_not_wait() -> None:
    carrier = Session().carrier
    carrier.send(Frame(b"4a"))
    assert carrier.wait().done()


async def test_everything_there_is_leaves_in_one_answer() -> None:
    carrier = Session().carrier
    carrier.send(Frame(b"451-[]", (b"\x01",)))
    carrier.deliver(flush(batch("u1", 1)))
    assert carrier.take() == b'451-[]\x1ebAQ==\x1e42["batch","u1",1]'


async def test_a_get_that_leaves_loses_nothing() -> None:
    carrier = Session().carrier
    carrier.wait()
    carrier.send(Frame(b"4a"))
    carrier.leave()
    assert not carrier.is_polled
    carrier.send(Frame(b"4b"))
    assert carrier.take() == b"4a\x1e4b"


async def test_a_get_that_was_woken_for_nothing_gets_a_packet_without_meaning() -> None:
    assert Session().carrier.take() == b"6"


@given(st.lists(st.integers(0, 3), max_size=40))
def test_each_frame_leaves_in_exactly_one_answer_in_order(steps: list[int]) -> None:
    carrier, sent, taken = Session().carrier, list[bytes](), list[bytes]()
    for number, step in enumerate(steps):
        if step:
            sent.append(b"4%d" % number)
            carrier.deliver(Bundle([Frame(sent[-1])]))
        else:
            taken.extend(carrier.take().split(b"\x1e"))
    taken.extend(carrier.take().split(b"\x1e"))
    assert [packet for packet in taken if packet != b"6"] == sent


async def test_a_client_that_does_not_poll_is_owed_only_the_newest_batch_of_each_unit() -> None:
    session = Session()
    session.carrier.send(filler())
    for rank in (1, 2, 3):
        session.carrier.deliver(flush(batch("u1", rank), batch("u2", rank)))
    assert not session.carrier.writable
    assert session.handler.events == ["slowed"]
    session.carrier.take()
    assert session.carrier.take() == b'42["batch","u1",3]\x1e42["batch","u2",3]'
    assert session.handler.events == ["slowed", "restored"]
    assert session.carrier.writable


async def test_a_client_that_lost_nothing_is_told_nothing() -> None:
    session = Session()
    session.carrier.send(filler())
    session.carrier.deliver(flush(batch("u1", 1)))
    session.carrier.take()
    assert session.carrier.take() == b'42["batch","u1",1]'
    assert session.handler.events == []


async def test_a_long_backlog_leaves_in_answers_of_bounded_size() -> None:
    session = Session()
    session.carrier.send(filler())
    session.carrier.deliver(flush(*(batch(f"u{number}", 1, size=500) for number in range(10))))
    session.carrier.take()
    sizes = []
    while (body := session.carrier.take()) != b"6":
        sizes.append(len(body))
    assert sum(sizes) > 5_000
    assert max(sizes) < 3 * SOFT


async def test_a_flush_larger_than_the_soft_limit_cuts_nobody() -> None:
    session = Session()
    session.carrier.deliver(flush(*(batch(f"u{number}", 1, size=600) for number in range(20))))
    assert session.server.sids == ["s0"]
    assert session.handler.events == []


async def test_one_large_answer_does_not_cut_a_session_that_owes_nothing() -> None:
    session = Session()
    assert session.carrier.takes(Frame(b"4" + b"x" * 10 * HARD))
    session.carrier.send(Frame(b"4" + b"x" * 10 * HARD))
    assert session.carrier.takes(Frame(b"4small"))
    session.carrier.send(Frame(b"4small"))
    assert not session.handler.events
    assert not session.carrier.takes(Frame(b"4" + b"x" * HARD))
    session.carrier.send(Frame(b"4" + b"x" * HARD))
    assert session.handler.events == ["closed: transport close: too slow"]


async def test_a_session_owes_something_until_its_poll_comes() -> None:
    session = Session()
    session.carrier.send(Frame(b"4a"))
    assert session.server.endpoint.owing == {session.carrier}
    session.carrier.take()
    session.carrier.close("transport close")
    assert session.server.endpoint.owing == set()


async def test_events_that_cannot_be_conflated_are_kept_up_to_the_hard_limit() -> None:
    session = Session()
    before = CLIENTS_CUT.labels("bytes")._value.get()
    for _ in range(4):
        session.carrier.deliver(flush(filler(1_000)))
    assert session.server.sids == ["s0"]
    session.carrier.deliver(flush(filler(1_000), filler(1_000)))
    assert session.handler.events == ["closed: transport close: too slow"]
    assert CLIENTS_CUT.labels("bytes")._value.get() == before + 1


@pytest.mark.parametrize(("reason", "packet"), [("transport close", b"6"), ("ping timeout", b"1")])
async def test_a_client_is_told_the_end_unless_it_asked_for_it(reason: str, packet: bytes) -> None:
    session = Session()
    waiting = session.carrier.wait()
    session.server.endpoint.connections["s0"].close(reason)
    assert waiting.done()
    assert session.carrier.take() == packet


async def test_what_was_sent_last_does_not_share_an_answer_with_the_end() -> None:
    """A stock client forgets the packets that come in one answer with CLOSE."""
    session = Session()
    waiting = session.carrier.wait()
    session.carrier.send(Frame(b"41"))
    session.server.endpoint.connections["s0"].close("server namespace disconnect")
    assert waiting.done()
    assert session.carrier.take() == b"41"


async def test_after_the_end_nothing_is_queued() -> None:
    carrier = Session().carrier
    carrier.close("enough")
    carrier.close("again")
    carrier.send(Frame(b"4late"))
    assert carrier.take() == b"1"
    assert not carrier.writable


async def test_an_upgrade_lets_every_get_go_at_once() -> None:
    carrier = Session().carrier
    waiting = carrier.wait()
    carrier.begin_upgrade()
    assert waiting.done()
    assert carrier.take() == b"6"
    assert carrier.wait().done()


async def test_polling_goes_on_after_an_upgrade_that_failed() -> None:
    carrier = Session().carrier
    carrier.begin_upgrade()
    carrier.cancel_upgrade()
    assert not carrier.wait().done()


async def test_an_upgrade_takes_over_all_that_was_owed() -> None:
    session = Session()
    session.carrier.send(filler())
    waiting = session.carrier.wait()
    for rank in (1, 2):
        session.carrier.deliver(flush(batch("u1", rank), batch("u2", 1)))
    frames = session.carrier.finish_upgrade()
    assert [frame.text[:14] for frame in frames] == [b"4xxxxxxxxxxxxx", b'42["batch","u1', b'42["batch","u2']
    assert session.handler.events == ["slowed"]
    assert waiting.done()
    assert session.carrier.take() == b"6"
