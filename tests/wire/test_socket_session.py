"""Namespaces of one connection: what is allowed when, and what comes late is not blamed on anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.wire.errors import WireError
from sensorcast.wire.socket_session import MAX_NAMESPACES, SocketSession
from sensorcast.wire.socketio import DecodeLimits, SocketPacket, SocketPacketType


def session(*connected: str) -> SocketSession:
    """A session connected to these namespaces."""
    made = SocketSession(DecodeLimits())
    for name in connected:
        made.receive(f"0{name},")
        made.accept(name)
    return made


def test_a_connect_is_passed_on_and_waits_for_its_answer() -> None:
    fresh = session()
    packet = fresh.receive('0/custom,{"token":"t"}')
    assert packet == SocketPacket(SocketPacketType.CONNECT, "/custom", None, {"token": "t"})
    assert (fresh.connecting, fresh.connected) == (("/custom",), ())


def test_events_and_acks_of_a_connected_namespace_are_passed_on() -> None:
    joined = session("/")
    assert joined.receive('2["a",1]') == SocketPacket(SocketPacketType.EVENT, "/", None, ["a", 1])
    assert joined.receive("37[2]") == SocketPacket(SocketPacketType.ACK, "/", 7, [2])


def test_a_packet_is_passed_on_when_its_last_attachment_has_come() -> None:
    joined = SocketSession(DecodeLimits(max_attachments=1))
    joined.receive("0")
    joined.accept("/")
    assert joined.receive('51-["a",{"_placeholder":true,"num":0}]') is None
    assert joined.receive(b"x") == SocketPacket(SocketPacketType.EVENT, "/", None, ["a", b"x"])


FORBIDDEN = {
    "event before connect": ([], '2["a"]'),
    "ack before connect": ([], "31[]"),
    "disconnect before connect": ([], "1"),
    "event in another namespace": (["/"], '2/custom,["a"]'),
    "second connect": (["/"], "0"),
    "second connect elsewhere": (["/", "/custom"], "0/custom,"),
}


@pytest.mark.parametrize(("connected", "message"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_packet_at_the_wrong_time_is_refused(connected: list[str], message: str) -> None:
    with pytest.raises(WireError):
        session(*connected).receive(message)


def test_a_second_connect_is_refused_while_the_first_waits() -> None:
    waiting = session()
    waiting.receive("0")
    with pytest.raises(WireError, match="connected already"):
        waiting.receive("0")


def test_an_event_before_the_answer_to_its_connect_is_refused() -> None:
    waiting = session()
    waiting.receive("0")
    with pytest.raises(WireError, match="before the CONNECT was answered"):
        waiting.receive('2["a"]')


def test_a_client_may_take_its_connect_back() -> None:
    waiting = session()
    waiting.receive("0")
    assert waiting.receive("1") == SocketPacket(SocketPacketType.DISCONNECT, "/", None, None)


@pytest.mark.parametrize("late", ['2["a"]', "31[]", "1"])
def test_what_was_under_way_when_a_namespace_ended_is_ignored(late: str) -> None:
    ended = session("/")
    ended.leave("/")
    assert ended.receive(late) is None


def test_a_namespace_can_be_joined_again_after_its_end() -> None:
    again = session("/")
    again.leave("/")
    assert again.receive("0") is not None
    again.accept("/")
    assert again.connected == ("/",)
    assert again.receive('2["a"]') is not None


def test_a_refused_namespace_may_be_tried_again() -> None:
    refused = session()
    refused.receive("0")
    refused.leave("/")
    assert refused.receive("0") is not None


def test_namespaces_of_one_connection_are_bounded_also_the_refused_ones() -> None:
    busy = session()
    for number in range(MAX_NAMESPACES):
        busy.receive(f"0/{number},")
        busy.leave(f"/{number}")
    assert busy.receive("0/0,") is not None
    with pytest.raises(WireError, match=f"more than {MAX_NAMESPACES} namespaces"):
        busy.receive("0/another,")


_NAMES = ["/", "/a", "/b"]
_MESSAGES = st.sampled_from(
    [f"{kind}{name}," for name in _NAMES for kind in "01"] + [f'2{name},["e"]' for name in _NAMES]
)
_STEPS = st.lists(st.tuples(st.sampled_from(["receive", "accept", "leave"]), _MESSAGES, st.sampled_from(_NAMES)))


@given(_STEPS)
def test_an_event_is_passed_on_only_for_a_connected_namespace(steps: list[tuple[str, str, str]]) -> None:
    """Against a model of three sets; the application answers only what asks."""
    state: dict[str, str] = {}
    checked = SocketSession(DecodeLimits())
    for action, message, name in steps:
        if action == "accept" and state.get(name) == "connecting":
            checked.accept(name)
            state[name] = "connected"
        elif action == "leave" and name in state:
            checked.leave(name)
            state[name] = "gone"
        elif action == "receive":
            _receive_like_model(checked, state, message)
        assert set(checked.connected) == {each for each, now in state.items() if now == "connected"}
        assert set(checked.connecting) == {each for each, now in state.items() if now == "connecting"}
        assert len(checked.connected) == len(set(checked.connected))


def _receive_like_model(checked: SocketSession, state: dict[str, str], message: str) -> None:
    kind, name = message[0], message[1:].partition(",")[0]
    now = state.get(name, "unknown")
    allowed = {"0": {"unknown", "gone"}, "1": {"connected", "connecting", "gone"}, "2": {"connected", "gone"}}[kind]
    if now not in allowed:
        with pytest.raises(WireError):
            checked.receive(message)
        return
    packet = checked.receive(message)
    assert (packet is None) == (now == "gone" and kind != "0")
    if kind == "0":
        state[name] = "connecting"
