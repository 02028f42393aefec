"""A namespace: its handlers, and who an event reaches."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.strict_json import JsonError
from sensorcast.transport.namespace import ConnectRefused, Namespace
from sensorcast.wire.socketio import RESERVED_EVENTS
from tests.transport.socketio_peer import IoPeer, IoServer, joined


@pytest.fixture
async def server() -> IoServer:
    made = IoServer()
    made.namespace("/")
    return made


@pytest.fixture
def crowd(server: IoServer) -> list[IoPeer]:
    """Four clients: i0 in a, i1 in a and b, i2 in b, i3 in none."""
    peers = [joined(server) for _ in range(4)]
    for index, rooms in enumerate(["a", "ab", "b", ""]):
        for room in rooms:
            peers[index].socket().join(room)
    return peers


AUDIENCES: dict[str, tuple[dict[str, Any], str]] = {
    "everybody": ({}, "0123"),
    "one room": ({"rooms": ["a"]}, "01"),
    "two rooms, each client once": ({"rooms": ["a", "b"]}, "012"),
    "no room": ({"rooms": []}, ""),
    "an unknown room": ({"rooms": ["c"]}, ""),
    "a socket by its id": ({"rooms": ["i3"]}, "3"),
    "a room and a socket": ({"rooms": ["a", "i3"]}, "013"),
    "everybody but a room": ({"except_rooms": ["a"]}, "23"),
    "everybody but a socket": ({"except_rooms": ["i0"]}, "123"),
    "a room but another": ({"rooms": ["a"], "except_rooms": ["b"]}, "0"),
    "rooms from an iterator": ({"rooms": iter(["a"]), "except_rooms": iter(["i1"])}, "0"),
}


@pytest.mark.parametrize(("options", "expected"), AUDIENCES.values(), ids=AUDIENCES.keys())
def test_an_event_reaches_whom_it_names_once(
    server: IoServer, crowd: list[IoPeer], options: dict[str, Any], expected: str
) -> None:
    server.namespace("/").emit("hello", 1, **options)
    reached = [str(index) for index, peer in enumerate(crowd) if peer.received == ['2["hello",1]']]
    assert "".join(reached) == expected


def test_an_event_is_encoded_once_for_all(server: IoServer, crowd: list[IoPeer]) -> None:
    server.namespace("/").emit("hello")
    assert len({id(peer.carrier.sent[-1]) for peer in crowd}) == 1


def test_a_volatile_event_leaves_out_who_does_not_keep_up(server: IoServer, crowd: list[IoPeer]) -> None:
    crowd[1].carrier.writable = False
    server.namespace("/").emit("tick", volatile=True)
    server.namespace("/").emit("alert")
    assert [peer.received for peer in crowd[:2]] == [['2["tick"]', '2["alert"]'], ['2["alert"]']]


def test_a_client_that_is_cut_by_an_event_keeps_it_from_nobody(server: IoServer, crowd: list[IoPeer]) -> None:
    cut = crowd[1]
    cut.carrier.deliver = lambda bundle: cut.connection.close("too slow")  # type: ignore[method-assign]
    server.namespace("/").emit("hello", rooms=["a", "b"])
    assert [bool(peer.received) for peer in crowd] == [True, False, True, False]
    assert len(server.namespace("/").sockets) == 3


def test_another_namespace_is_not_reached(server: IoServer) -> None:
    other = server.namespace("/other")
    root, elsewhere = joined(server), IoPeer(server, "0/other,")
    assert elsewhere.received
    elsewhere.socket("/other").join("a")
    root.socket().join("a")
    other.emit("hello", rooms=["a"])
    assert (root.received, elsewhere.received) == ([], ['2/other,["hello"]'])


def test_what_json_cannot_say_reaches_nobody(server: IoServer, crowd: list[IoPeer]) -> None:
    with pytest.raises(JsonError):
        server.namespace("/").emit("hello", float("inf"))
    assert [peer.received for peer in crowd] == [[]] * 4


@pytest.mark.parametrize("event", sorted(RESERVED_EVENTS))
def test_a_handler_of_a_reserved_event_is_refused(event: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        Namespace("/").on(event)


def test_decorated_handlers_stay_what_they_are() -> None:
    namespace = Namespace("/")

    def handler(*args: Any) -> None: ...

    registers = (namespace.use, namespace.on("a"), namespace.on_connect, namespace.on_disconnect)
    assert all(register(handler) is handler for register in (*registers, namespace.on_slowed, namespace.on_restored))


def test_a_refusal_carries_its_message_and_data() -> None:
    refusal = ConnectRefused("not you", {"code": 1})
    assert (str(refusal), refusal.message, refusal.data) == ("not you", "not you", {"code": 1})
