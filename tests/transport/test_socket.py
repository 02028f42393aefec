"""A socket as the application sees it: emit, call, rooms, and harmless once it has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sensorcast.strict_json import JsonError
from sensorcast.transport.socket import RoomLimit, SocketClosed
from sensorcast.wire.frame import Frame
from tests.transport.fakes import flush
from tests.transport.socketio_peer import IoPeer, IoServer, joined


@pytest.fixture
async def server() -> Any:
    async with IoServer(rooms_per_socket=3) as made:
        made.namespace("/")
        yield made


async def called(peer: IoPeer, *args: Any, timeout_s: float = 5.0) -> asyncio.Task[list[Any]]:
    """Start a call and let it be sent."""
    task = asyncio.ensure_future(peer.socket().call("question", *args, timeout_s=timeout_s))
    await asyncio.sleep(0)
    return task


async def test_an_event_is_sent_with_its_arguments(server: IoServer) -> None:
    peer = joined(server)
    peer.socket().emit("hello", 1, {"a": b"\x01"})
    assert peer.received == ['51-["hello",1,{"a":{"_placeholder":true,"num":0}}]']


async def test_arguments_that_are_json_already_are_sent_as_they_are(server: IoServer) -> None:
    peer = joined(server)
    peer.socket().emit_json("hello", b'{"a":1}', b"2")
    assert peer.received == ['2["hello",{"a":1},2]']


async def test_what_json_cannot_say_is_refused_to_the_caller(server: IoServer) -> None:
    with pytest.raises(JsonError):
        joined(server).socket().emit("hello", float("nan"))


async def test_a_volatile_event_is_dropped_while_the_client_is_slow(server: IoServer) -> None:
    peer = joined(server)
    peer.carrier.writable = False
    peer.socket().emit("tick", volatile=True)
    peer.socket().emit("alert")
    peer.carrier.writable = True
    peer.socket().emit("tick", volatile=True)
    assert peer.received == ['2["alert"]', '2["tick"]']


async def test_a_flush_of_the_hub_goes_to_the_carrier(server: IoServer) -> None:
    peer = joined(server)
    peer.socket().deliver(flush(Frame(b'42["batch"]')))
    assert peer.received == ['2["batch"]']


async def test_a_call_gives_the_arguments_of_the_answer(server: IoServer) -> None:
    peer = joined(server)
    task = await called(peer, "are you there")
    assert peer.received == ['20["question","are you there"]']
    peer.send('30["yes",2]')
    assert await task == ["yes", 2]


async def test_answers_may_come_in_any_order(server: IoServer) -> None:
    peer = joined(server)
    first, second = await called(peer), await called(peer)
    peer.send('31["second"]', '30["first"]')
    assert [await first, await second] == [["first"], ["second"]]


async def test_a_call_without_answer_ends_in_time_and_keeps_nothing(server: IoServer) -> None:
    peer = joined(server)
    task = await called(peer, timeout_s=0.01)
    with pytest.raises(TimeoutError):
        await task
    assert peer.socket()._calls == {}
    peer.send('30["too late"]')
    assert not peer.connection.closed


async def test_an_answer_to_nothing_or_for_the_second_time_is_ignored(server: IoServer) -> None:
    peer = joined(server)
    peer.send('35["never asked"]')
    task = await called(peer)
    peer.send('30["first"]', '30["second"]')
    assert await task == ["first"]


@pytest.mark.parametrize("how", ["by the client", "by the server", "by the network"])
async def test_a_call_fails_when_its_socket_ends(server: IoServer, how: str) -> None:
    peer = joined(server)
    task = await called(peer)
    match how:
        case "by the client":
            peer.send("1")
        case "by the server":
            peer.socket().disconnect()
        case "by the network":
            peer.connection.close("transport close")
    with pytest.raises(SocketClosed):
        await task


async def test_a_call_that_is_cancelled_keeps_nothing(server: IoServer) -> None:
    peer = joined(server)
    task = await called(peer)
    task.cancel()
    await asyncio.wait([task])
    assert peer.socket()._calls == {}
    peer.connection.close("transport close")


async def test_a_call_with_what_json_cannot_say_keeps_nothing(server: IoServer) -> None:
    peer = joined(server)
    with pytest.raises(JsonError):
        await peer.socket().call("question", float("nan"))
    assert peer.socket()._calls == {}


async def test_a_socket_is_in_as_many_rooms_as_allowed(server: IoServer) -> None:
    socket = joined(server).socket()
    for room in ("a", "b", "c", "c"):
        socket.join(room)
    with pytest.raises(RoomLimit, match="setting rooms_per_socket"):
        socket.join("d")
    socket.leave("a")
    socket.join("d")
    socket.leave("never joined")
    assert socket.rooms == {"b", "c", "d"}


async def test_a_socket_knows_the_first_request_of_its_client(server: IoServer) -> None:
    assert joined(server).socket().handshake.address == "192.0.2.7"


async def test_after_the_end_everything_is_harmless(server: IoServer) -> None:
    peer = joined(server)
    socket = peer.socket()
    peer.send("1")
    socket.emit("late")
    socket.join("late")
    socket.leave("late")
    socket.disconnect(close=True)
    assert (socket.connected, socket.rooms, peer.received) == (False, frozenset(), [])
    with pytest.raises(SocketClosed):
        await socket.call("late")
    peer.connection.close("transport close")
    socket.deliver(flush(Frame(b"4late")))
    assert (socket.writable, peer.received) == (False, [])
