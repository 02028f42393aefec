"""The heartbeat in every order, the packets a client may send, and the order of an upgrade."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.wire.engine_session import Due, EngineSession, PeerClosed, Probe
from sensorcast.wire.engineio import EnginePacket, PacketType, Timing
from sensorcast.wire.errors import WireError

PONG = EnginePacket(PacketType.PONG, "")
SHORT_TIMEOUT = Timing(ping_interval_s=25.0, ping_timeout_s=20.0)
LONG_TIMEOUT = Timing(ping_interval_s=1.0, ping_timeout_s=10.0)


def session(timing: Timing = SHORT_TIMEOUT, *, pinged_at_s: float | None = None) -> EngineSession:
    """A session begun at 0, and pinged if asked."""
    made = EngineSession(timing, 0.0)
    if pinged_at_s is not None:
        assert made.due(pinged_at_s) is Due.PING
    return made


def test_the_first_ping_is_due_one_interval_after_the_opening() -> None:
    heartbeat = session()
    assert heartbeat.next_due_s == 25.0
    assert heartbeat.due(24.999) is Due.NOTHING
    assert heartbeat.due(25.0) is Due.PING


def test_a_ping_without_answer_is_a_timeout_on_time() -> None:
    heartbeat = session(pinged_at_s=25.0)
    assert heartbeat.next_due_s == 45.0
    assert heartbeat.due(44.999) is Due.NOTHING
    assert heartbeat.due(45.0) is Due.TIMEOUT


def test_the_next_ping_comes_one_interval_after_the_answer() -> None:
    heartbeat = session(pinged_at_s=25.0)
    heartbeat.receive(PONG, 27.0)
    assert heartbeat.next_due_s == 52.0
    assert heartbeat.due(45.0) is Due.NOTHING
    assert heartbeat.due(52.0) is Due.PING


def test_an_answer_just_before_the_deadline_counts() -> None:
    heartbeat = session(pinged_at_s=25.0)
    heartbeat.receive(PONG, 44.999)
    assert heartbeat.due(45.0) is Due.NOTHING
    assert heartbeat.next_due_s == 69.999


def test_a_late_ping_moves_its_deadline_with_it() -> None:
    heartbeat = session(pinged_at_s=40.0)
    assert heartbeat.due(59.999) is Due.NOTHING
    assert heartbeat.due(60.0) is Due.TIMEOUT


def test_with_a_timeout_longer_than_the_interval_a_quick_answer_keeps_the_interval() -> None:
    heartbeat = session(LONG_TIMEOUT, pinged_at_s=1.0)
    assert heartbeat.next_due_s == 2.0
    heartbeat.receive(PONG, 1.1)
    # The entry in the wheel still stands where the ping put it, before the next one is due.
    assert heartbeat.due(2.0) is Due.NOTHING
    assert heartbeat.next_due_s == 2.1
    assert heartbeat.due(2.1) is Due.PING


def test_with_a_timeout_longer_than_the_interval_there_is_one_ping_at_a_time() -> None:
    heartbeat = session(LONG_TIMEOUT, pinged_at_s=1.0)
    assert [heartbeat.due(float(second)) for second in range(2, 11)] == [Due.NOTHING] * 9
    assert heartbeat.due(11.0) is Due.TIMEOUT


def test_with_a_timeout_longer_than_the_interval_the_deadline_is_looked_at_in_time() -> None:
    heartbeat = session(LONG_TIMEOUT, pinged_at_s=1.0)
    now_s = 1.0
    while (action := heartbeat.due(now_s := heartbeat.next_due_s)) is Due.NOTHING:
        assert now_s < 11.0
    assert (action, now_s) == (Due.TIMEOUT, 11.0)


def test_an_answer_nobody_asked_for_does_no_harm() -> None:
    heartbeat = session()
    heartbeat.receive(PONG, 10.0)
    assert heartbeat.due(25.0) is Due.NOTHING
    assert heartbeat.next_due_s == 35.0


@given(st.floats(0.05, 60), st.floats(0.05, 60), st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=30))
def test_a_session_is_over_exactly_when_a_ping_goes_unanswered(
    interval_s: float, timeout_s: float, steps: list[tuple[bool, float]]
) -> None:
    """Drive a session as the wheel does, with answers at random; it ends at the deadline of a ping, never else."""
    heartbeat = EngineSession(Timing(ping_interval_s=interval_s, ping_timeout_s=timeout_s), 0.0)
    now_s, pinged_at_s = 0.0, None
    for answers, after_s in steps:
        if answers and now_s + after_s < heartbeat.next_due_s:
            now_s += after_s
            heartbeat.receive(PONG, now_s)
            pinged_at_s = None
        now_s = max(now_s, heartbeat.next_due_s)
        match heartbeat.due(now_s):
            case Due.PING:
                assert pinged_at_s is None
                pinged_at_s = now_s
            case Due.TIMEOUT:
                assert pinged_at_s is not None
                assert now_s >= pinged_at_s + timeout_s
                return
            case Due.NOTHING:
                assert pinged_at_s is None or now_s < pinged_at_s + timeout_s
        assert heartbeat.next_due_s >= now_s


@pytest.mark.parametrize("message", ["", "text", b"", b"\x00"])
def test_a_message_is_passed_on(message: str | bytes) -> None:
    assert session().receive(EnginePacket(PacketType.MESSAGE, message), 0.0) == message


@pytest.mark.parametrize("kind", [PacketType.PONG, PacketType.NOOP])
def test_packets_without_message_pass_nothing_on(kind: PacketType) -> None:
    assert session().receive(EnginePacket(kind, "x"), 0.0) is None


@pytest.mark.parametrize("kind", [PacketType.OPEN, PacketType.PING, PacketType.UPGRADE])
def test_packets_only_a_server_sends_are_refused(kind: PacketType) -> None:
    with pytest.raises(WireError, match=f"unexpected Engine.IO packet: {kind.name.lower()}"):
        session().receive(EnginePacket(kind, ""), 0.0)


def test_a_close_packet_ends_the_session_without_blame() -> None:
    with pytest.raises(PeerClosed):
        session().receive(EnginePacket(PacketType.CLOSE, ""), 0.0)


def test_an_upgrade_is_probe_then_upgrade() -> None:
    answered = Probe.WAITING.receive(EnginePacket(PacketType.PING, "probe"))
    assert answered is Probe.ANSWERED
    assert answered.receive(EnginePacket(PacketType.UPGRADE, "")) is Probe.DONE


WRONG_ORDERS = {
    "upgrade first": (Probe.WAITING, EnginePacket(PacketType.UPGRADE, "")),
    "ping without probe": (Probe.WAITING, EnginePacket(PacketType.PING, "")),
    "binary probe": (Probe.WAITING, EnginePacket(PacketType.MESSAGE, b"2probe")),
    "message": (Probe.WAITING, EnginePacket(PacketType.MESSAGE, "x")),
    "probe twice": (Probe.ANSWERED, EnginePacket(PacketType.PING, "probe")),
    "message after the probe": (Probe.ANSWERED, EnginePacket(PacketType.MESSAGE, "x")),
    "anything after the upgrade": (Probe.DONE, EnginePacket(PacketType.UPGRADE, "")),
}


@pytest.mark.parametrize(("state", "packet"), WRONG_ORDERS.values(), ids=WRONG_ORDERS.keys())
def test_any_other_order_of_an_upgrade_is_refused(state: Probe, packet: EnginePacket) -> None:
    with pytest.raises(WireError, match="while upgrading"):
        state.receive(packet)
