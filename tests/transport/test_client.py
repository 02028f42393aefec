"""Socket.IO above one connection: events to handlers, answers, ends."""

from __future__ import annotations

import asyncio
from collections import UserDict
from typing import Any

import pytest

from sensorcast.metrics import CLIENT_EVENTS_REFUSED
from sensorcast.transport.namespace import Namespace
from sensorcast.transport.socket import Socket
from tests.transport.socketio_peer import IoPeer, IoServer, joined

RATE_LIMITED = "too many events (settings client_events_per_s, client_events_burst)"


@pytest.fixture
async def server() -> Any:
    async with IoServer(events_burst=5, events_per_s=1.0) as made:
        yield made


@pytest.fixture
def root(server: IoServer) -> Namespace:
    return server.namespace("/")


async def settled() -> None:
    """Let the tasks that are ready run to their next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


# Events


@pytest.fixture
def echo(root: Namespace) -> Namespace:
    @root.on("plain")
    def plain(socket: Socket, *args: Any) -> Any:
        return list(args)

    @root.on("later")
    async def later(socket: Socket, *args: Any) -> Any:
        await asyncio.sleep(0)
        return list(args)

    @root.on("several")
    def several(socket: Socket) -> Any:
        return (1, b"\x01")

    @root.on("faulty")
    def faulty(socket: Socket, one: Any) -> Any:
        raise RuntimeError("secret detail")

    @root.on("faulty later")
    async def faulty_later(socket: Socket) -> Any:
        raise RuntimeError("secret detail")

    @root.on("not json")
    def not_json(socket: Socket) -> Any:
        return float("nan")

    @root.on("breaks when read")
    def breaks(socket: Socket) -> Any:
        return [Treacherous()]

    return root


class Treacherous(UserDict[str, Any]):
    """A value whose reading fails."""

    def __iter__(self) -> Any:
        raise RuntimeError("secret detail")


ANSWERS = {
    "plain": ('27["plain",1,"a"]', ["37[[1,\"a\"]]"]),
    "coroutine": ('27["later",1]', ["37[[1]]"]),
    "several arguments": ('27["several"]', ['461-7[1,{"_placeholder":true,"num":0}]'[1:]]),
    "no answer wanted": ('2["plain",1]', []),
    "unknown event": ('27["unknown"]', []),
    "numeric event": ("27[5]", []),
    "fault": ('27["faulty",1]', []),
    "wrong number of arguments": ('27["faulty"]', []),
    "fault in a coroutine": ('27["faulty later"]', []),
    "answer that is no json": ('27["not json"]', []),
    "answer that breaks when it is read": ('27["breaks when read"]', []),
}  # fmt: skip


@pytest.mark.parametrize(("event", "answers"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_event_is_answered_by_what_its_handler_returns_and_survives_its_faults(
    server: IoServer, echo: Namespace, event: str, answers: list[str]
) -> None:
    peer = joined(server)
    peer.send(event)
    await settled()
    assert peer.received == answers
    peer.send('28["plain"]')
    assert peer.received == ["38[[]]"]


async def test_an_event_before_the_connect_closes_the_connection(server: IoServer, echo: Namespace) -> None:
    peer = IoPeer(server, '2["plain"]')
    assert peer.connection.closed


async def test_an_event_over_the_rate_is_refused_instead_of_served(server: IoServer, echo: Namespace) -> None:
    peer = joined(server)
    peer.send(*[f'2{number}["plain"]' for number in range(5)])
    refused = f'34[{{"ok":false,"error":{{"code":"rate_limited","message":"{RATE_LIMITED}"}}}}]'
    assert peer.received == ["30[[]]", "31[[]]", "32[[]]", "33[[]]", refused]
    server.live(2.0)
    peer.send('25["plain"]')
    assert peer.received == ["35[[]]"]


async def test_events_over_the_rate_are_counted_even_if_nobody_asked_for_an_answer(
    server: IoServer, echo: Namespace
) -> None:
    before = CLIENT_EVENTS_REFUSED._value.get()
    joined(server).send(*['2["plain"]' for _ in range(6)])
    assert CLIENT_EVENTS_REFUSED._value.get() == before + 2


async def test_an_answer_that_would_be_too_much_unread_is_replaced_by_a_refusal(
    server: IoServer, echo: Namespace
) -> None:
    peer = joined(server)
    peer.carrier.takes_bytes = 200
    peer.send(f'21["plain","{"x" * 200}"]', '22["plain",1]')
    refusal, answer = peer.received
    assert refusal.startswith('31[{"ok":false,"error":{"code":"rate_limited"')
    assert answer == "32[[1]]"


async def test_handlers_that_pile_up_are_refused(server: IoServer, root: Namespace) -> None:
    gates: list[asyncio.Event] = []

    @root.on("slow")
    async def slow(socket: Socket) -> None:
        gates.append(asyncio.Event())
        await gates[-1].wait()

    peer = joined(server)
    for number in range(6):
        peer.connection._allowance = 5.0  # not over the rate: it is the waiting ones that count
        peer.send(f'2{number}["slow"]')
    await settled()
    assert len(gates) == 5
    assert peer.received[0].startswith('35[{"ok":false')
    for gate in gates:
        gate.set()
    await settled()
    assert len(peer.received) == 5


async def test_an_answer_after_the_end_of_its_socket_is_not_sent(server: IoServer, echo: Namespace) -> None:
    peer = joined(server)
    peer.send('27["later"]', "1")
    await settled()
    assert peer.received == []


# Ends


@pytest.fixture
def ends(root: Namespace) -> list[str]:
    reasons: list[str] = []

    @root.on_disconnect
    def note(socket: Socket, reason: str) -> None:
        reasons.append(f"{socket.id} {reason} {sorted(socket.rooms)}")

    return reasons


async def test_each_end_has_its_reason_and_still_knows_its_rooms(server: IoServer, ends: list[str]) -> None:
    peers = [joined(server) for _ in range(3)]
    for peer in peers:
        peer.socket().join("room")
    peers[0].send("1")
    peers[1].socket().disconnect()
    peers[2].connection.close("transport close")
    assert ends == [
        "i0 client namespace disconnect ['room']",
        "i1 server namespace disconnect ['room']",
        "i2 transport close ['room']",
    ]
    assert peers[1].received == ["1"]
    assert server.namespace("/").hub.members("room") == ()
    assert server.namespace("/").sockets == {}


async def test_a_disconnect_may_close_the_whole_connection(server: IoServer, ends: list[str]) -> None:
    peer = joined(server)
    peer.socket().disconnect(close=True)
    assert peer.received == ["1"]
    assert peer.connection.closed
    assert len(ends) == 1


async def test_a_client_that_is_cut_by_its_own_farewell_ends_once(server: IoServer, ends: list[str]) -> None:
    peer = joined(server)
    peer.carrier.send = lambda frame: peer.connection.close("too slow")  # type: ignore[method-assign]
    peer.socket().disconnect()
    assert ends == ["i0 too slow []"]


async def test_a_fault_in_one_end_handler_spares_the_next(server: IoServer, root: Namespace) -> None:
    @root.on_disconnect
    async def faulty(socket: Socket, reason: str) -> None:
        raise RuntimeError("no")

    @root.on_disconnect
    def faulty_at_once(socket: Socket, reason: str) -> None:
        raise RuntimeError("no")

    ended: list[str] = []
    root.on_disconnect(lambda socket, reason: ended.append(socket.id))
    joined(server).send("1")
    await settled()
    assert ended == ["i0"]


async def test_namespaces_of_one_connection_end_one_by_one(server: IoServer, ends: list[str]) -> None:
    server.namespace("/other")
    peer = joined(server, "0/other,")
    peer.send("1")
    assert list(peer.client.sockets) == ["/other"]
    server.live(15.0)
    assert not peer.connection.closed


async def test_news_of_a_slow_client_reach_every_namespace_of_it(server: IoServer, root: Namespace) -> None:
    news: list[str] = []
    root.on_slowed(lambda socket: news.append(f"{socket.id} slowed"))
    root.on_restored(lambda socket: news.append(f"{socket.id} restored"))
    peer = joined(server)
    peer.client.slowed()
    peer.client.restored()
    assert news == ["i0 slowed", "i0 restored"]
