"""Who may open a session, what is known of it, and that a refused or ended one leaves nothing behind."""

from __future__ import annotations

import asyncio
import json

import pytest

from sensorcast.metrics import CONNECTIONS, HANDSHAKES_REFUSED, OUTBOUND_BYTES
from sensorcast.transport.connection import Connection
from sensorcast.transport.endpoint import Endpoint, Handshake
from sensorcast.transport.limits import Limits
from sensorcast.transport.polling import PollingCarrier
from sensorcast.wire import engineio
from sensorcast.wire.engineio import Refusal, Timing
from tests.transport.fakes import FakeCarrier, Recorder, Server, batch, flush

QUERY = {"EIO": "4", "transport": "websocket"}


def asked(server: Server, query: dict[str, str] = QUERY, *, origin: str | None = None) -> Refusal | None:
    """Ask the endpoint whether a request may go on."""
    return server.endpoint.refusal(query, query["transport"], "GET", origin=origin, host="server.test")


def opened(server: Server, **query: str) -> FakeCarrier:
    """Open a session that was let through."""
    carrier = FakeCarrier()
    server.endpoint.open(carrier, address="192.0.2.7", query=QUERY | query, headers={"x-kept": "a", "x-other": "b"})
    return carrier


def polling(server: Server) -> PollingCarrier:
    carrier = PollingCarrier(server.endpoint)
    carrier.connection = server.endpoint.open(carrier, address="", query={}, headers={})
    return carrier


def test_a_handshake_in_order_is_let_through() -> None:
    assert asked(Server()) is None


def test_the_path_ends_with_a_slash() -> None:
    assert Endpoint("/x", Recorder, limits=Limits()).path == Endpoint("/x/", Recorder, limits=Limits()).path == "/x/"


def test_above_the_ceiling_nobody_is_let_in_until_somebody_leaves() -> None:
    server = Server(connections_max=2)
    opened(server)
    opened(server)
    refusal = asked(server)
    assert refusal is not None
    assert (refusal.status, "setting connections_max" in refusal.message) == (503, True)
    server.endpoint.connections["s0"].close("enough")
    assert asked(server) is None


def test_handshakes_faster_than_the_rate_are_refused_until_time_passes() -> None:
    server = Server(handshakes_per_s=3.0)
    assert [asked(server) for _ in range(3)] == [None] * 3
    refusal = asked(server)
    assert refusal is not None
    assert (refusal.status, "setting handshakes_per_s" in refusal.message) == (503, True)
    server.live(0.5)
    assert asked(server) is None


def test_a_refused_query_takes_nothing_from_the_rate() -> None:
    server = Server(handshakes_per_s=1.0)
    for _ in range(5):
        assert asked(server, QUERY | {"EIO": "3"}) == engineio.BAD_VERSION
    assert asked(server) is None


def test_a_server_that_stops_lets_nobody_in_but_goes_on_with_those_inside() -> None:
    server = Server()
    polling(server)
    server.endpoint.stop_accepting()
    refusal = asked(server)
    assert refusal is not None
    assert refusal.status == 503
    assert asked(server, {"EIO": "4", "transport": "polling", "sid": "s0"}) is None


def test_a_page_of_another_origin_is_refused() -> None:
    server = Server(allowed_origins=("https://listed.test",))
    assert asked(server, origin="https://evil.test") == engineio.FORBIDDEN_ORIGIN
    assert asked(server, origin="https://listed.test") is None


SESSION_CASES = {
    "unknown over polling": ("polling", "nobody", engineio.UNKNOWN_SESSION),
    "unknown over websocket": ("websocket", "nobody", engineio.UNKNOWN_SESSION),
    "polled": ("polling", "s0", None),
    "polled, asked by a websocket": ("websocket", "s0", None),
    "on a websocket, asked over polling": ("polling", "s1", engineio.BAD_REQUEST),
    "on a websocket, asked by another": ("websocket", "s1", engineio.BAD_REQUEST),
}


@pytest.mark.parametrize(("transport", "sid", "refusal"), SESSION_CASES.values(), ids=SESSION_CASES.keys())
def test_a_session_is_open_only_to_what_may_carry_it(transport: str, sid: str, refusal: Refusal | None) -> None:
    server = Server()
    polling(server)
    opened(server)
    assert asked(server, {"EIO": "4", "transport": transport, "sid": sid}) == refusal


def test_a_session_that_is_being_upgraded_takes_no_second_websocket() -> None:
    server = Server()
    polling(server).begin_upgrade()
    assert asked(server, QUERY | {"sid": "s0"}) == engineio.BAD_REQUEST
    assert asked(server, {"EIO": "4", "transport": "polling", "sid": "s0"}) is None


def test_each_refusal_is_counted_by_its_status() -> None:
    before = HANDSHAKES_REFUSED.labels("400")._value.get()
    asked(Server(), QUERY | {"EIO": "3"})
    assert HANDSHAKES_REFUSED.labels("400")._value.get() == before + 1


def test_the_first_packet_tells_the_session_and_its_times() -> None:
    server = Server(timing=Timing(ping_interval_s=1.0, ping_timeout_s=2.0, max_payload_bytes=5_000))
    told = [json.loads(text[1:]) for text in (opened(server).texts[0], polling(server).take().decode())]
    assert [(each["sid"], each["upgrades"]) for each in told] == [("s0", []), ("s1", ["websocket"])]
    assert {(each["pingInterval"], each["pingTimeout"], each["maxPayload"]) for each in told} == {(1_000, 2_000, 5_000)}


def test_session_ids_cannot_be_guessed() -> None:
    endpoint = Endpoint("/", Recorder, limits=Limits())
    ids = {endpoint.open(FakeCarrier(), address="", query={}, headers={}).sid for _ in range(100)}
    assert len(ids) == 100
    assert min(map(len, ids)) >= 20


def test_of_the_first_request_only_what_an_application_needs_is_kept() -> None:
    server = Server()
    opened(server, sid="", t="abc", unit="u1")
    assert server.handlers[0].handshake == Handshake("192.0.2.7", {"unit": "u1"}, {"x-kept": "a"})


def test_stock_clients_share_what_is_not_known_of_them() -> None:
    server = Server()
    for _ in range(2):
        server.endpoint.open(FakeCarrier(), address="", query=QUERY, headers={})
    first, second = (handler.handshake for handler in server.handlers)
    assert first.query is second.query
    assert first.headers is second.headers


def test_an_application_that_fails_at_the_opening_leaves_no_session() -> None:
    def fail(connection: Connection, handshake: Handshake) -> Recorder:
        raise RuntimeError("no")

    endpoint, carrier = Endpoint("/", fail, limits=Limits()), FakeCarrier()
    with pytest.raises(RuntimeError):
        endpoint.open(carrier, address="", query={}, headers={})
    assert endpoint.connections == {}
    assert carrier.closed == ["failed to open"]


def test_open_connections_are_counted_by_transport_through_an_upgrade() -> None:
    server = Server()
    counts = [CONNECTIONS.labels(name)._value for name in ("polling", "websocket")]
    before = [count.get() for count in counts]
    polling(server)
    assert [count.get() for count in counts] == [before[0] + 1, before[1]]
    assert server.endpoint.upgrade(server.endpoint.connections["s0"], FakeCarrier())
    assert [count.get() for count in counts] == [before[0], before[1] + 1]
    server.endpoint.connections["s0"].close("enough")
    assert [count.get() for count in counts] == before


def test_a_session_is_upgraded_once() -> None:
    server = Server()
    polling(server)
    connection = server.endpoint.connections["s0"]
    assert server.endpoint.upgrade(connection, FakeCarrier())
    assert not server.endpoint.begin_upgrade(connection)
    assert not server.endpoint.upgrade(connection, FakeCarrier())


def test_closing_all_tells_every_application_once_and_lets_nobody_in() -> None:
    server = Server()
    opened(server)
    polling(server)
    server.endpoint.close_all()
    server.endpoint.close_all()
    assert [handler.events for handler in server.handlers] == [["closed: server shutting down"]] * 2
    assert server.endpoint.connections == {}
    assert asked(server) is not None


async def test_a_started_endpoint_lives_until_it_is_closed() -> None:
    server = Server(timing=Timing(ping_interval_s=0.05, ping_timeout_s=0.05))
    server.endpoint.start(asyncio.get_running_loop())
    carrier = opened(server)
    async with asyncio.timeout(30):
        while not carrier.closed:
            await asyncio.sleep(0.005)
    assert carrier.closed == ["ping timeout"]
    server.endpoint.close_all()


async def test_bytes_written_are_reported_once_a_second() -> None:
    server = Server()
    server.endpoint.start(asyncio.get_running_loop())
    before = OUTBOUND_BYTES._value.get()
    bundle = flush(batch("u1", 1))
    server.connect().carrier.deliver(bundle)
    server.live(1.0)
    assert OUTBOUND_BYTES._value.get() >= before + len(bundle.websocket)
    assert server.endpoint.outbound_bytes == 0
    server.endpoint.close_all()
