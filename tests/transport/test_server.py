"""The library face: namespaces, tasks that end with the server, and the way requests go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sensorcast.transport.namespace import Namespace
from sensorcast.transport.server import SocketServer
from tests.transport.asgi import Request, not_found
from tests.transport.socketio_peer import IoPeer, IoServer, joined

OPEN = "/socket.io/?EIO=4&transport=polling"


def test_a_namespace_is_made_once() -> None:
    server = SocketServer()
    assert server.namespace() is server.namespace("/")
    assert server.namespace("/a") is not server.namespace("/")


@pytest.mark.parametrize("name", ["", "a", "/a,b"])
def test_a_name_that_no_packet_could_carry_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a namespace begins with /"):
        SocketServer().namespace(name)


def test_public_ids_differ() -> None:
    server = SocketServer()
    assert len({server.new_id() for _ in range(100)}) == 100


async def test_a_task_runs_inside_the_server_and_its_fault_is_its_own() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("work")

    async def faulty() -> None:
        raise RuntimeError("no")

    async with SocketServer() as server:
        server.spawn(faulty())
        server.spawn(work())
    assert done == ["work"]


async def test_nothing_is_spawned_outside_a_running_server() -> None:
    async def work() -> None: ...

    with pytest.raises(RuntimeError, match="not running"):
        SocketServer().spawn(work())


async def test_leaving_closes_every_connection_before_the_tasks_end() -> None:
    order: list[str] = []
    async with IoServer() as server:
        root = server.namespace("/")

        @root.on("slow")
        async def slow(socket: Any) -> None:
            await closed.wait()
            order.append("handler")

        @root.on_disconnect
        async def ended(socket: Any, reason: str) -> None:
            order.append(reason)
            closed.set()

        closed = asyncio.Event()
        peer = joined(server, '2["slow"]')
    assert order == ["server shutting down", "handler"]
    assert peer.received == []
    assert peer.carrier.closed == ["server shutting down"]


async def test_a_handler_that_never_ends_is_cancelled_after_the_grace_time() -> None:
    started = asyncio.Event()

    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        async with IoServer(grace_s=0.01) as server:
            server.spawn(endless())
            await started.wait()
    assert server._running == set()


async def test_a_server_may_be_started_again() -> None:
    server = IoServer()
    server.namespace("/")
    for _ in range(2):
        async with server:
            assert (await Request(OPEN).run(server.requests)).status == 200
    assert (await Request(OPEN).run(server.requests)).status == 503


async def test_the_headers_asked_for_are_found_in_the_handshake() -> None:
    server = SocketServer(kept_headers=("x-site",))
    app = server.asgi()
    seen: list[Any] = []
    server.namespace("/").on_connect(lambda socket: seen.append(dict(socket.handshake.headers)))
    opening = await Request(OPEN, headers={"x-site": "roof", "cookie": "no"}).run(app)
    sid = opening.body.decode().split('"')[3]
    await Request(f"{OPEN}&sid={sid}", method="POST", body=[b"40"]).run(app)
    assert seen == [{"x-site": "roof"}]


ROUTES = {
    "our path": ("/socket.io/", 400),
    "our path without slash": ("/socket.io", 400),
    "below our path": ("/socket.io/x", 400),
    "a path that only begins like ours": ("/socket.iox", 404),
    "another": ("/", 404),
}


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("path", "status"), ROUTES.values(), ids=ROUTES.keys())
async def test_requests_go_to_this_server_at_its_path_and_elsewhere_to_the_other(
    path: str, status: int, alone: bool
) -> None:
    answer = await Request(path).run(SocketServer().asgi(None if alone else not_found))
    assert answer.status == status
    assert ("x-from" in answer.headers) == (status == 404 and not alone)


async def test_a_socket_server_alone_ignores_what_is_not_http() -> None:
    request = Request("/")
    request.scope["type"] = "websocket"
    await request.run(SocketServer().asgi())
    assert not request.answered


async def test_the_example_of_the_module_works() -> None:
    server = SocketServer()
    root: Namespace = server.namespace("/")

    @root.on("hello")
    async def hello(socket: Any, name: str) -> str:
        return f"hello {name}"

    async with server:
        peer = IoPeer(server, "0", '20["hello","you"]')
        for _ in range(3):
            await asyncio.sleep(0)
        assert peer.received[-1] == '30["hello you"]'


def test_the_public_id_of_a_socket_is_not_the_secret_id_of_its_session() -> None:
    server = SocketServer()
    server.namespace("/")
    peer = IoPeer(server, "0")
    assert peer.connection.sid != peer.socket().id
