"""PyPI's python-socketio client with default options (polling, then upgrade), on asyncio and on threads."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator

import pytest
import socketio

from .clients import Target

DEADLINE_S = 30.0
BLOB = bytes(range(256)) * 1_000


@pytest.fixture
def url(patient_server: Target) -> str:
    """The address of the server."""
    return f"http://127.0.0.1:{patient_server.port}"


@pytest.fixture
def threaded() -> Iterator[socketio.Client]:
    """A client on threads, disconnected at the end."""
    client = socketio.Client()
    yield client
    client.disconnect()


async def test_asyncio_client_works_with_default_options(url: str) -> None:
    client, echoed, greeted = socketio.AsyncClient(), asyncio.Queue(), asyncio.Queue()
    client.on("message-back", lambda *args: echoed.put_nowait(args))
    client.on("auth", greeted.put_nowait)
    client.on("auth", greeted.put_nowait, namespace="/custom")
    await client.connect(url, auth={"token": "é"}, namespaces=["/", "/custom"])
    try:
        assert [await asyncio.wait_for(greeted.get(), DEADLINE_S) for _ in range(2)] == [{"token": "é"}] * 2
        assert client.transport() == "websocket"
        await client.emit("message", ("€", BLOB, {"deep": [b"\x00"]}))
        assert await asyncio.wait_for(echoed.get(), DEADLINE_S) == ("€", BLOB, {"deep": [b"\x00"]})
        assert await client.call("message-with-ack", {"blob": b"\x01"}, timeout=DEADLINE_S) == {"blob": b"\x01"}
    finally:
        await client.disconnect()


def test_threaded_client_works_with_default_options(url: str, threaded: socketio.Client) -> None:
    echoed: queue.Queue[tuple[object, ...]] = queue.Queue()
    threaded.on("message-back", lambda *args: echoed.put(args))

    threaded.connect(url, auth={"token": "é"})

    assert threaded.transport() == "websocket"
    threaded.emit("message", ("€", BLOB, {"deep": [b"\x00"]}))
    assert echoed.get(timeout=DEADLINE_S) == ("€", BLOB, {"deep": [b"\x00"]})
    assert threaded.call("message-with-ack", b"\x01", timeout=DEADLINE_S) == b"\x01"


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids="".join)
def test_threaded_client_works_on_one_transport(url: str, threaded: socketio.Client, transports: list[str]) -> None:
    threaded.connect(url, transports=transports)

    assert threaded.transport() == transports[0]
    assert threaded.call("message-with-ack", b"\x01", timeout=DEADLINE_S) == b"\x01"


def test_client_is_refused_an_unknown_namespace(url: str, threaded: socketio.Client) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError, match="One or more namespaces failed to connect"):
        threaded.connect(url, namespaces=["/random"])
