"""CONNECT: through middlewares in their order, refused with data or without, taken back, on time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sensorcast.transport.namespace import ConnectRefused, Namespace
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


async def test_a_connect_is_accepted_with_a_public_id(server: IoServer, root: Namespace) -> None:
    peer = IoPeer(server, "0")
    assert peer.received == ['0{"sid":"i0"}']
    assert peer.connection.sid != "i0"
    assert list(root.sockets) == ["i0"]


async def test_middlewares_see_the_auth_in_their_order_plain_or_not(server: IoServer, root: Namespace) -> None:
    calls: list[Any] = []

    @root.use
    def first(socket: Socket, auth: Any) -> None:
        calls.append(("first", auth))

    @root.use
    async def second(socket: Socket, auth: Any) -> None:
        await asyncio.sleep(0)
        calls.append("second")

    @root.use
    def third(socket: Socket, auth: Any) -> None:
        calls.append("third")

    @root.use
    async def fourth(socket: Socket, auth: Any) -> None:
        calls.append("fourth")

    peer = IoPeer(server, '0{"token":"t"}')
    await settled()
    assert calls == [("first", {"token": "t"}), "second", "third", "fourth"]
    assert peer.received == ['0{"sid":"i0"}']


async def test_without_auth_middlewares_get_an_empty_object(server: IoServer, root: Namespace) -> None:
    seen: list[Any] = []
    root.use(lambda socket, auth: seen.append(auth))
    IoPeer(server, "0")
    assert seen == [{}]


REFUSALS = {
    "with data": (ConnectRefused("not you", {"code": "x"}), '4{"message":"not you","data":{"code":"x"}}'),
    "without data": (ConnectRefused("not you"), '4{"message":"not you"}'),
    "by a fault": (RuntimeError("secret detail"), '4{"message":"internal error"}'),
}


@pytest.mark.parametrize("waits", [False, True], ids=["plain", "coroutine"])
@pytest.mark.parametrize(("error", "answer"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_middleware_refuses_and_a_fault_in_it_tells_nothing(
    server: IoServer, root: Namespace, error: Exception, answer: str, waits: bool
) -> None:
    def refuse(socket: Socket, auth: Any) -> None:
        raise error

    async def refuse_later(socket: Socket, auth: Any) -> None:
        refuse(socket, auth)

    root.use(refuse_later if waits else refuse)
    root.use(lambda socket, auth: pytest.fail("a middleware after a refusal was called"))
    peer = IoPeer(server, "0")
    await settled()
    assert peer.received == [answer]
    assert root.sockets == {}
    assert not peer.connection.closed


async def test_a_refused_client_may_try_again(server: IoServer, root: Namespace) -> None:
    @root.use
    def check(socket: Socket, auth: Any) -> None:
        if auth != {"ok": 1}:
            raise ConnectRefused("no")

    peer = IoPeer(server, "0", '0{"ok":1}')
    assert peer.received == ['4{"message":"no"}', '0{"sid":"i1"}']


async def test_an_unknown_namespace_is_refused_by_its_name(server: IoServer, root: Namespace) -> None:
    assert IoPeer(server, "0/random,").received == ['4/random,{"message":"Invalid namespace"}']


async def test_a_client_that_never_connects_is_closed_in_time(server: IoServer, root: Namespace) -> None:
    idle, other = IoPeer(server), IoPeer(server, "0")
    server.live(10.3)
    assert idle.connection.closed
    assert not other.connection.closed


async def test_a_client_that_left_its_last_namespace_is_closed_in_time(server: IoServer, root: Namespace) -> None:
    peer = joined(server)
    peer.send("1")
    server.live(9.5)
    assert not peer.connection.closed
    server.live(0.75)
    assert peer.connection.closed


class Gate:
    """A middleware that waits until it is opened, for each CONNECT on its own."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self, socket: Socket, auth: Any) -> None:
        self.waiting.append(asyncio.get_running_loop().create_future())
        socket.data = auth
        await self.waiting[-1]


async def test_a_connect_taken_back_while_a_middleware_waits_is_forgotten(server: IoServer, root: Namespace) -> None:
    gate = root.use(Gate())
    peer = IoPeer(server, "0")
    await settled()
    peer.send("1")
    gate.waiting[0].set_result(None)
    await settled()
    assert peer.received == []
    assert root.sockets == {}


@pytest.mark.parametrize("first_passes", [True, False])
async def test_of_two_connects_the_one_not_taken_back_is_answered(
    server: IoServer, root: Namespace, first_passes: bool
) -> None:
    gate = root.use(Gate())
    peer = IoPeer(server, '0{"who":"first"}', "1", '0{"who":"second"}')
    await settled()
    if first_passes:
        gate.waiting[0].set_result(None)
    else:
        gate.waiting[0].set_exception(ConnectRefused("no"))
    await settled()
    assert peer.received == []
    gate.waiting[1].set_result(None)
    await settled()
    assert peer.received == ['0{"sid":"i1"}']
    assert peer.socket().data == {"who": "second"}


async def test_a_client_that_goes_while_a_middleware_waits_leaves_nothing(server: IoServer, root: Namespace) -> None:
    gate = root.use(Gate())
    root.on_connect(lambda socket: pytest.fail("a client that has gone was announced"))
    peer = IoPeer(server, "0")
    await settled()
    peer.connection.close("gone")
    gate.waiting[0].set_result(None)
    await settled()
    assert root.sockets == {}


async def test_connects_that_pile_up_are_refused(server: IoServer, root: Namespace) -> None:
    gate = root.use(Gate())
    peer = IoPeer(server)
    for _ in range(6):
        peer.connection._allowance = 5.0  # not over the rate: it is the waiting ones that count
        peer.send("0", "1")
    await settled()
    assert len(gate.waiting) == 5
    for waiting in gate.waiting:
        waiting.set_result(None)


async def test_connects_faster_than_the_rate_are_refused(server: IoServer, root: Namespace) -> None:
    peer = IoPeer(server, *["0", "1"] * 2, "0", "1", "0")
    assert peer.received[-1] == f'4{{"message":"{RATE_LIMITED}","data":{{"code":"rate_limited"}}}}'


async def test_a_client_whose_answer_does_not_go_out_is_not_announced(server: IoServer, root: Namespace) -> None:
    events: list[str] = []
    root.on_connect(lambda socket: events.append("connect"))
    root.on_disconnect(lambda socket, reason: events.append("disconnect"))
    peer = IoPeer(server)
    peer.carrier.send = lambda frame: peer.connection.close("too slow")  # type: ignore[method-assign]
    peer.send("0")
    assert (events, root.sockets) == ([], {})
