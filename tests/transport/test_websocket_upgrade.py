"""A WebSocket that asks to carry a polling session: it takes over whole, or leaves the session as it was."""

from __future__ import annotations

import pytest

from sensorcast.transport.polling import PollingCarrier
from sensorcast.wire.engineio import Timing
from sensorcast.wire.frame import Bundle, Frame
from tests.conformance import frames as raw
from tests.transport.fakes import Server, batch, flush

SOFT = 1_000


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def slow_server() -> Server:
    """Few bytes make its clients slow."""
    return Server(outbound_soft_bytes=SOFT)


def polling_session(server: Server) -> PollingCarrier:
    """A session that polls, its handshake answered."""
    carrier = PollingCarrier(server.endpoint)
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


async def test_a_client_that_stays_slow_after_the_upgrade_is_told_once_and_again_when_it_has_all() -> None:
    server = Server(outbound_soft_bytes=70_000)
    carrier = polling_session(server)
    handler, peer = server.handlers[0], server.probe("s0")
    peer.send("2probe")
    carrier.deliver(flush(batch("u1", 1), Frame(b"4" + b"x" * 80_000), *(batch(unit, 1) for unit in ("u2", "u3"))))
    carrier.deliver(flush(*(batch(unit, 2) for unit in ("u1", "u2"))))
    assert handler.events == ["slowed"]
    peer.transport.blocked = True
    peer.send("5")
    peer.carrier.deliver(flush(batch("u3", 2)))
    assert handler.events == ["slowed"]
    peer.transport.drain()
    assert handler.events == ["slowed", "restored"]
    assert [str(message)[-19:] for message in peer.received] == [
        "3probe",
        '42["batch","u1",1]',
        "x" * 19,
        '42["batch","u2",2]',
        '42["batch","u3",2]',
        '42["batch","u1",2]',
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
