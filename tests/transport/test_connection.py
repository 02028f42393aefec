"""One session: heartbeat, rate, and one end after which nothing is held."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from sensorcast.metrics import CONNECTIONS_CLOSED
from sensorcast.transport.connection import Carrier, Connection
from sensorcast.transport.limits import Limits
from sensorcast.transport.wheel import TimerWheel
from sensorcast.wire.engineio import EnginePacket, PacketType, Timing
from sensorcast.wire.frame import Frame
from tests.transport.fakes import FakeCarrier, Recorder, batch, flush, live

PONG = EnginePacket(PacketType.PONG, "")
TIMING = Timing(ping_interval_s=2.0, ping_timeout_s=1.0)


class Session:
    """A connection on a fake carrier, its application, and the wheel they live by."""

    def __init__(self, *, connect_by_s: float | None = None, **limits: Any) -> None:
        self.wheel = TimerWheel(1.0)
        self.carrier = FakeCarrier()
        self.forgotten: list[Carrier] = []
        self.connection = Connection(
            "s0",
            limits=Limits(timing=TIMING, **limits),
            wheel=self.wheel,
            carrier=self.carrier,
            on_close=lambda connection, carrier: self.forgotten.append(carrier),
        )
        self.handler = Recorder(self.connection, None, connect_by_s=connect_by_s)  # type: ignore[arg-type]
        self.connection.start(self.handler)

    def receive(self, text: str) -> None:
        self.connection.receive(EnginePacket(PacketType(text[0]), text[1:]))

    def live(self, seconds: float) -> None:
        live(self.wheel, seconds)


def test_a_ping_is_sent_each_interval_to_a_client_that_answers() -> None:
    session = Session()
    for _ in range(3):
        session.live(2.0)
        assert session.carrier.texts.pop() == "2"
        session.receive("3")
    assert not session.connection.closed


def test_a_client_that_does_not_answer_is_closed_at_its_deadline() -> None:
    session = Session()
    session.live(2.9)
    assert not session.connection.closed
    session.live(0.2)
    assert session.carrier.closed == ["ping timeout"]
    assert session.handler.events == ["closed: ping timeout"]


def test_a_client_that_does_not_come_further_in_time_is_closed() -> None:
    session = Session(connect_by_s=0.5)
    session.live(0.4)
    assert not session.connection.closed
    session.live(0.2)
    assert session.carrier.closed == ["no CONNECT in time (setting connect_timeout_ms)"]


def test_a_client_that_came_further_in_time_stays() -> None:
    session = Session(connect_by_s=0.5)
    session.live(0.4)
    session.handler.connect_by_s = None
    session.live(1.0)
    assert not session.connection.closed


def test_messages_reach_the_application() -> None:
    session = Session()
    session.receive("4hello")
    session.connection.receive(EnginePacket(PacketType.MESSAGE, b"\x01"))
    assert session.handler.messages == ["hello", b"\x01"]


@pytest.mark.parametrize("text", ["2", "0{}", "5", "4bad"])
def test_a_violation_closes_the_connection(text: str) -> None:
    session = Session()
    session.receive(text)
    assert session.carrier.closed[0].startswith("protocol error: ")


def test_a_close_packet_closes_without_blame() -> None:
    session = Session()
    session.receive("1")
    assert session.handler.events == ["closed: transport close"]


def test_only_the_first_close_counts() -> None:
    session = Session()
    before = CONNECTIONS_CLOSED.labels("protocol error")._value.get()
    session.connection.close("protocol error: with details")
    session.connection.close("ping timeout")
    assert session.carrier.closed == ["protocol error: with details"]
    assert session.forgotten == [session.carrier]
    assert len(session.handler.events) == 1
    assert CONNECTIONS_CLOSED.labels("protocol error")._value.get() == before + 1


def test_a_close_within_the_end_of_the_application_does_no_harm() -> None:
    session = Session()
    session.handler.closed = lambda reason: session.connection.close("again")  # type: ignore[method-assign]
    session.connection.close("enough")
    assert session.carrier.closed == ["enough"]


def test_after_the_end_nothing_is_sent_or_passed_on() -> None:
    session = Session()
    session.connection.close("enough")
    session.connection.send(Frame(b"4a"))
    session.connection.deliver(flush(batch("u1", 1)))
    session.receive("4late")
    session.live(10.0)
    assert (session.carrier.sent, session.handler.messages) == ([], [])


def test_after_the_end_the_wheel_keeps_neither_carrier_nor_application_alive() -> None:
    session = Session()
    kept = [weakref.ref(session.carrier), weakref.ref(session.handler)]
    connection, wheel = session.connection, session.wheel
    connection.close("enough")
    session.__dict__.clear()
    del session
    gc.collect()
    assert [reference() for reference in kept] == [None, None]
    assert wheel._slots


def test_a_connection_that_closes_while_it_is_opened_gets_no_heartbeat() -> None:
    session = Session()
    session.connection.close("enough")
    session.connection.start(session.handler)
    session.live(10.0)
    assert session.carrier.sent == []


def test_a_flush_goes_to_the_carrier() -> None:
    session = Session()
    session.connection.deliver(flush(batch("u1", 1)))
    assert session.carrier.texts == ['42["batch","u1",1]']


def test_a_client_over_its_rate_is_known_until_it_has_paused() -> None:
    session = Session(events_per_s=10.0, events_burst=3)
    for _ in range(3):
        session.receive("4a")
    assert not session.connection.over_rate
    session.receive("4a")
    assert session.connection.over_rate
    session.live(0.2)
    session.receive("4a")
    assert not session.connection.over_rate


def test_a_client_that_floods_on_is_cut() -> None:
    session = Session(events_per_s=10.0, events_burst=3)
    for _ in range(33):
        session.receive("4a")
    assert not session.connection.closed
    session.receive("4a")
    assert "settings client_events_per_s, client_events_burst" in session.carrier.closed[0]


def test_a_pause_earns_no_more_than_a_burst() -> None:
    session = Session(events_per_s=10.0, events_burst=3)
    for _ in range(500):
        session.live(2.0)
        session.receive("3")
    for _ in range(4):
        session.receive("4a")
    assert session.connection.over_rate
