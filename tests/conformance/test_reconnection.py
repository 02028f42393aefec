"""A server that goes away or stands still: stock clients come back by themselves, healthy ones are never dropped."""

from __future__ import annotations

import asyncio
import gc
import queue
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import socketio

from tests.support.node import NodeClient, NodeDriver

from . import servers
from .clients import SOCKET_PATH, Polling, Target, WebSocket, connect_namespace
from .wire import DEADLINE_S

STALL_S = 15.0

Start = Callable[..., servers.ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers of one's own, to stop and to start again."""
    started: list[servers.ServerProcess] = []

    def start_one(**options: int) -> servers.ServerProcess:
        started.append(servers.start("sensorcast", tmp_path / f"{len(started)}.log", **options))
        return started[-1]

    yield start_one
    servers.stop_all(server for server in started if server.process.poll() is None)


def _connected(node: NodeDriver, port: int) -> NodeClient:
    """A stock client with default options, once it is on websocket."""
    client = node.connect(f"http://127.0.0.1:{port}", transports=["polling", "websocket"])
    client.wait_for_event("auth")
    if client.wait_for("connect")["transport"] == "polling":
        client.wait_for("upgrade")
    return client


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_stock_client_comes_back_by_itself_after_a_restart(node: NodeDriver, start: Start, end: signal.Signals) -> None:
    first = start()
    client = _connected(node, first.port)
    before = len(client.seen)

    first.process.send_signal(end)
    first.process.wait(30)
    assert client.wait_for("disconnect", after=before)["reason"] in ("transport close", "transport error")
    start(port=first.port)

    client.wait_for("connect", after=before, within_s=30)
    assert client.call("message-with-ack", "back") == "back"
    client.disconnect()


# The client library leaves the socket of its lost connection to the garbage collector, which complains here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_python_client_comes_back_by_itself_after_a_restart(start: Start) -> None:
    first = start()
    client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2)
    greetings: queue.Queue[object] = queue.Queue()
    client.on("auth", greetings.put)
    client.connect(f"http://127.0.0.1:{first.port}")
    greetings.get(timeout=30)

    first.stop()
    start(port=first.port)

    greetings.get(timeout=30)
    assert client.call("message-with-ack", "back", timeout=30) == "back"
    client.disconnect()
    del client
    gc.collect()


class Healthy:
    """A client that answers every heartbeat as soon as it comes, and never reconnects."""

    def __init__(self, client: WebSocket | Polling, question: str, answer: str) -> None:
        self.heartbeats = 0
        self._client = client
        self._question = question
        self._answer = answer
        self._answered = asyncio.Event()

    async def live(self) -> None:
        """Answer heartbeats until cancelled; fails when the server lets go."""
        while True:
            packet = await self._client.next_message(deadline_s=STALL_S + 60)
            if packet == "2":
                self.heartbeats += 1
                await self._client.send("3")
            else:
                assert packet == self._answer
                self._answered.set()

    async def is_served(self) -> None:
        """Ask over the connection that was there from the start."""
        await self._client.send(self._question)
        async with asyncio.timeout(DEADLINE_S):
            await self._answered.wait()


async def _healthy_clients(target: Target) -> list[Healthy]:
    """A client of each transport on each path."""
    clients = [Healthy(client, "4x", "4x") for client in (await target.websocket(), await target.polling())]
    for client in (await target.websocket(SOCKET_PATH), await target.polling(SOCKET_PATH)):
        await connect_namespace(client)
        clients.append(Healthy(client, '421["message-with-ack",1]', "431[1]"))
    return clients


@pytest.fixture
async def target() -> AsyncIterator[Callable[[servers.ServerProcess], Target]]:
    """Make targets of started servers; their connections end with the test."""
    made: list[Target] = []

    def make(server: servers.ServerProcess) -> Target:
        made.append(Target(server.name, server.port))
        return made[-1]

    yield make
    for each in made:
        each.abort_all()


async def test_server_that_stood_still_for_15_seconds_drops_no_healthy_client(
    node: NodeDriver, start: Start, target: Callable[[servers.ServerProcess], Target]
) -> None:
    # Hasty or not, the stall is far longer; a second is what a busy machine may need to let clients answer.
    hasty = start(ping_interval_ms=300, ping_timeout_ms=1_000)
    patient = start(ping_interval_ms=25_000, ping_timeout_ms=20_000)
    of_hasty, of_patient = await _healthy_clients(target(hasty)), await _healthy_clients(target(patient))
    # Stock clients hang up by themselves when no ping comes in time, so they stay only with the default heartbeat.
    stock = await asyncio.to_thread(_connected, node, patient.port)
    before = len(stock.seen)

    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(client.live()) for client in (*of_hasty, *of_patient)]
        _signal_both(hasty, patient, signal.SIGSTOP)
        await asyncio.sleep(STALL_S)
        beaten = [client.heartbeats for client in of_hasty]
        _signal_both(hasty, patient, signal.SIGCONT)
        await _beat_on(of_hasty, beaten)
        for client in (*of_hasty, *of_patient):
            await client.is_served()
        for life in lives:
            life.cancel()

    assert await asyncio.to_thread(stock.call, "message-with-ack", "still here") == "still here"
    assert [seen["is"] for seen in stock.seen[before:]] == ["ack"]
    stock.disconnect()


def _signal_both(first: servers.ServerProcess, second: servers.ServerProcess, number: signal.Signals) -> None:
    for server in (first, second):
        server.process.send_signal(number)


async def _beat_on(clients: list[Healthy], beaten: list[int]) -> None:
    """Wait until each client has had five more heartbeats: long enough for any late timeout to strike."""
    async with asyncio.timeout(DEADLINE_S):
        while any(client.heartbeats < before + 5 for client, before in zip(clients, beaten, strict=True)):
            await asyncio.sleep(0.05)
