"""The bound on what all connections together have not sent."""

from __future__ import annotations

import pytest

from sensorcast.metrics import CLIENTS_CUT, CONNECTIONS_SLOW, OUTBOUND_UNSENT_BYTES
from sensorcast.transport.polling import PollingCarrier
from sensorcast.transport.pressure import LOOK_EVERY_S, OutboundPressure
from sensorcast.wire.frame import Frame
from tests.transport.fakes import Peer, Server

MAX_BYTES = 10_000


@pytest.fixture
async def server() -> Server:
    return Server(outbound_total_max_bytes=MAX_BYTES, outbound_soft_bytes=2_000, outbound_hard_bytes=50_000)


def owed(server: Server, size_bytes: int) -> Peer:
    """A client that reads nothing and is owed about so many bytes."""
    peer = server.connect(blocked=True)
    peer.carrier.send(Frame(b"4" + b"x" * size_bytes))
    return peer


def look(server: Server) -> float:
    """Look once; give how many clients that has cut."""
    before = CLIENTS_CUT.labels("total")._value.get()
    assert OutboundPressure(server.endpoint).due(7.0) == 7.0 + LOOK_EVERY_S
    return CLIENTS_CUT.labels("total")._value.get() - before


async def test_within_the_bound_nobody_is_cut_and_the_sum_is_known(server: Server) -> None:
    peers = [owed(server, 1_000), owed(server, 3_000)]
    assert look(server) == 0
    assert OUTBOUND_UNSENT_BYTES._value.get() == sum(each.carrier.unsent_bytes for each in peers) > 4_000
    assert CONNECTIONS_SLOW._value.get() == 1


async def test_beyond_the_bound_those_who_are_owed_most_are_cut_and_no_more_than_needed(server: Server) -> None:
    little, most, much = owed(server, 1_000), owed(server, 9_000), owed(server, 6_000)
    assert look(server) == 1
    assert [each.transport.aborted for each in (little, most, much)] == [False, True, False]
    assert OUTBOUND_UNSENT_BYTES._value.get() <= MAX_BYTES
    assert look(server) == 0


async def test_a_poll_that_does_not_come_counts_and_is_cut_too(server: Server) -> None:
    carrier = PollingCarrier(server.endpoint)
    carrier.connection = server.endpoint.open(carrier, address="", query={}, headers={})
    carrier.send(Frame(b"4" + b"x" * 2 * MAX_BYTES))
    assert look(server) == 1
    assert carrier.connection.closed
    assert carrier.unsent_bytes < 10


async def test_a_cut_that_comes_twice_counts_once(server: Server) -> None:
    carrier = PollingCarrier(server.endpoint)
    carrier.connection = server.endpoint.open(carrier, address="", query={}, headers={})
    before = CLIENTS_CUT.labels("total")._value.get()
    carrier.cut("total")
    carrier.cut("total")
    assert CLIENTS_CUT.labels("total")._value.get() == before + 1
