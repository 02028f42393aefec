"""A long-polling session that is owed batches and does not come for them."""

from __future__ import annotations

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport.polling import PollingCarrier
from sensorcast.wire.frame import Frame
from tests.transport.fakes import Server, batch, flush

STALL_S = 4.0


def owed_session() -> tuple[Server, PollingCarrier]:
    """A session with a full queue, and a batch that waits behind it."""
    server = Server(outbound_soft_bytes=1_000, outbound_hard_bytes=8_000, outbound_stall_s=STALL_S)
    carrier = PollingCarrier(server.endpoint)
    carrier.connection = server.endpoint.open(carrier, address="", query={}, headers={})
    carrier.send(Frame(b"4" + b"x" * 1_001))
    carrier.deliver(flush(batch("u1", 1), batch("u2", 1, 1_001), batch("u3", 1)))
    return server, carrier


async def test_a_session_that_takes_nothing_for_the_stall_time_is_cut() -> None:
    server, carrier = owed_session()
    before = CLIENTS_CUT.labels("stall")._value.get()
    server.live(STALL_S - 0.5)
    assert not carrier.connection.closed
    server.live(1.5)
    assert carrier.connection.closed
    assert CLIENTS_CUT.labels("stall")._value.get() == before + 1


async def test_a_session_that_takes_a_part_in_time_is_not_cut() -> None:
    server, carrier = owed_session()
    server.live(STALL_S - 0.5)
    carrier.take()
    server.live(STALL_S - 0.5)
    assert not carrier.writable
    assert not carrier.connection.closed


async def test_a_session_that_caught_up_is_watched_no_longer() -> None:
    server, carrier = owed_session()
    carrier.take()
    carrier.take()
    server.live(3 * STALL_S)
    assert carrier.writable
    assert not carrier.connection.closed
