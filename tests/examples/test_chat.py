"""The chat of `docs/how-to/socketio-library.md`: it does what the page says, and the page shows what runs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import socketio

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "chat.py"


@pytest.fixture(scope="module")
def chat_url() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(EXAMPLE), str(port)])
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


async def connected(url: str, name: str) -> socketio.AsyncClient:
    client = socketio.AsyncClient()
    await client.connect(url, namespaces=["/chat"], auth={"name": name}, retry=True, wait_timeout=30)
    return client


async def test_room_hears_who_joined_and_the_joiner_gets_an_answer(chat_url):
    ada, bob = await connected(chat_url, "Ada"), await connected(chat_url, "Bob")
    heard: asyncio.Queue[str] = asyncio.Queue()
    ada.on("joined", heard.put, namespace="/chat")
    assert await ada.call("join", "kitchen", namespace="/chat") == "you are in kitchen"
    assert await bob.call("join", "kitchen", namespace="/chat") == "you are in kitchen"
    assert await asyncio.wait_for(heard.get(), 30) == "Bob"
    assert heard.empty()
    await ada.disconnect()
    await bob.disconnect()


async def test_server_asks_every_client(chat_url):
    ada = await connected(chat_url, "Ada")
    ada.on("question", lambda text: f"Ada thinks about: {text}", namespace="/chat")
    assert await ada.call("poll", "tea?", namespace="/chat") == [["Ada thinks about: tea?"]]
    await ada.disconnect()


async def test_client_without_a_name_is_refused_with_data(chat_url):
    await (await connected(chat_url, "Ada")).disconnect()
    client, refusals = socketio.AsyncClient(), asyncio.Queue()
    client.on("connect_error", refusals.put, namespace="/chat")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(chat_url, namespaces=["/chat"], auth={}, wait_timeout=30)
    assert await refusals.get() == {"message": "a name, please", "data": {"code": "no_name"}}


def test_page_shows_the_example_as_it_is():
    code = EXAMPLE.read_text().partition("server = SocketServer()")[2]
    assert code.strip() in (ROOT / "docs/how-to/socketio-library.md").read_text()
