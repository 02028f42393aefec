"""The process side of a server: listening, announcing, work beside it, signals."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sensorcast import serving
from sensorcast.app import Application
from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings
from tests.conformance.wire import Wire

DEADLINE_S = 30.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path), port=0, log_level="error", shutdown_timeout_s=5)


async def served(settings: Settings, **options: Any) -> int:
    """Serve as `serving.serve` does, but on the loop of the test."""
    async with asyncio.timeout(DEADLINE_S):
        return await serving._run(settings, options.get("on_ready"), options.get("background"))


def told_to_stop(act: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
    """Work beside the server that stops it with SIGTERM when it is done."""

    async def work(url: str) -> None:
        await act(url)
        os.kill(os.getpid(), signal.SIGTERM)

    return work


async def nothing(url: str) -> None: ...


def test_a_taken_port_is_one_clear_line_and_leaves_no_socket_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127\.0\.0\.1 port {port} .*in use"):
            serving.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a..b", "x" * 70, "256.1.1.1"])
def test_an_address_that_is_not_ours_is_one_clear_line(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\(--host, --port\)"):
        serving.listen(host, 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://")],
)
def test_the_url_is_one_at_which_this_machine_reaches_the_server(host: str, url: str) -> None:
    with serving.listen(host, 0) as listener:
        port = listener.getsockname()[1]
        assert serving.base_url(listener).startswith(url)
        assert serving.base_url(listener).endswith(f":{port}")


def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    try:
        listener = serving.listen("::", 0)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert serving.base_url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


async def test_a_server_is_announced_when_it_answers_and_ends_with_0_after_a_signal(settings: Settings) -> None:
    announced: list[str] = []

    async def check(url: str) -> None:
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/healthz")).status_code == 200

    code = await served(settings, on_ready=announced.append, background=told_to_stop(check))
    assert code == 0
    assert announced[0].startswith("http://127.0.0.1:")


async def test_an_announcement_may_wait(settings: Settings) -> None:
    order: list[str] = []

    async def announce(url: str) -> None:
        await asyncio.sleep(0)
        order.append("announced")

    async def work(url: str) -> None:
        order.append("worked")

    await served(settings, on_ready=announce, background=told_to_stop(work))
    assert order == ["announced", "worked"]


async def test_work_that_is_not_done_ends_with_the_server(settings: Settings) -> None:
    ended: list[str] = []

    async def endless(url: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    assert await served(settings, background=endless) == 0
    assert ended == ["work"]


async def test_work_that_fails_stops_the_server_in_good_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for step in ("drain", "stop"):
        monkeypatch.setattr(Application, step, recorded(order, step, getattr(Application, step)))

    async def fail(url: str) -> None:
        raise RuntimeError("the fleet broke down")

    with pytest.raises(RuntimeError, match="the fleet broke down"):
        await served(settings, background=fail)
    assert order == ["drain", "stop"]


def recorded(order: list[str], name: str, method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The method, with its name noted when it is called."""

    async def wrapped(self: Application) -> None:
        order.append(name)
        await method(self)

    return wrapped


async def test_a_start_that_fails_leaves_the_port_free(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "sensorcast.db").write_bytes(b"this is no database" * 1_000)
    with pytest.raises(ConfigurationError):
        await served(settings)


async def test_websockets_are_closed_with_the_code_for_going_away(settings: Settings) -> None:
    wires: list[Wire] = []

    async def connect(url: str) -> None:
        wires.append(await Wire.open("127.0.0.1", int(url.rpartition(":")[2])))
        await wires[0].send(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await wires[0].take_through(b'"maxPayload":100000}')

    assert await served(settings, background=told_to_stop(connect)) == 0
    assert (await wires[0].take_all())[2:4] == b"\x03\xe9"


async def test_a_second_signal_ends_at_once_what_is_still_under_way(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(self: Application) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def impatient(url: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Application, "drain", endless)
    assert await served(settings, background=impatient) == 0


async def statuses(url: str) -> list[int]:
    """What a new client is answered: is the server ready, is it alive, does it take a session."""
    async with httpx.AsyncClient(base_url=url) as http:
        paths = ("/readyz", "/healthz", "/socket.io/?EIO=4&transport=polling")
        return [(await http.get(path)).status_code for path in paths]


@pytest.mark.real_time
async def test_a_server_that_drains_is_not_ready_and_serves_on_until_a_second_signal(settings: Settings) -> None:
    seen: list[int] = []

    async def look(url: str) -> None:
        nonlocal seen
        assert await statuses(url) == [200, 200, 200]
        os.kill(os.getpid(), signal.SIGTERM)
        while not seen or seen[0] == 200:
            seen = await statuses(url)
        os.kill(os.getpid(), signal.SIGTERM)

    assert await served(dataclasses.replace(settings, drain_s=3_600.0), background=look) == 0
    assert seen == [503, 200, 200]


async def test_draining_ends_by_itself_when_its_time_is_over(settings: Settings) -> None:
    loop, told_s = asyncio.get_running_loop(), 0.0

    async def note_time(url: str) -> None:
        nonlocal told_s
        told_s = loop.time()

    draining = dataclasses.replace(settings, drain_s=1.0)
    assert await served(draining, background=told_to_stop(note_time)) == 0
    assert loop.time() - told_s >= 1.0


def test_serve_runs_on_a_loop_of_its_own_and_sets_up_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[str] = []
    monkeypatch.setattr(serving.logs, "set_up", levels.append)
    assert serving.serve(settings, background=told_to_stop(nothing)) == 0
    assert levels == ["error"]
