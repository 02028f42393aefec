"""Request heads that drip, never end or are too large, and connections that say nothing, against `sensorcast serve`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conformance.clients import UPGRADE_HEADERS, Refused, Target
from tests.conformance.wire import ConnectionEnded, Wire, read_reply, request_head
from tests.support.server import ServerProcess

HEADER_TIMEOUT_S = 0.5
# How late a busy machine may be; the next longer limit that could be met instead is uvicorn's 5 s between requests.
LATE_S = 4.0
URL = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET_URL = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a short time for heads and few sessions."""
    folder = tmp_path_factory.mktemp("heads")
    server = ServerProcess(folder, {"header_timeout_s": HEADER_TIMEOUT_S, "connections_max": 50})
    yield server.start()
    server.close()
    assert "Traceback" not in server.output.read_text(errors="replace")


@pytest.fixture
async def target(process: ServerProcess) -> AsyncIterator[Target]:
    """The server as raw clients see it."""
    target = Target("sensorcast", process.port)
    yield target
    target.abort_all()


async def _seconds_until_ended(wire: Wire, drip: bytes) -> float:
    """Send this over and over, a little at a time, until the server ends the connection."""
    started = time.monotonic()
    while not wire.ended and time.monotonic() - started < HEADER_TIMEOUT_S + LATE_S:
        await wire.send(drip)
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def test_connection_that_says_nothing_is_ended(target: Target) -> None:
    wire = await target.connect()

    await wire.take_all(deadline_s=HEADER_TIMEOUT_S + LATE_S)


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        pytest.param(b"", b"G", id="method"),
        pytest.param(b"GET /", b"a", id="url"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a", id="header name"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", b"a", id="header value"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X: y\r\n", id="header lines"),
        pytest.param(b"", b"\r\n", id="empty lines"),
        pytest.param(f"GET {WEBSOCKET_URL} HTTP/1.1\r\nUpgrade: websocket\r\nX: ".encode(), b"a", id="upgrade"),
    ],
)
async def test_head_that_drips_is_ended_on_time(target: Target, begin: bytes, drip: bytes) -> None:
    wire = await target.connect()
    await wire.send(begin)

    assert await _seconds_until_ended(wire, drip) < HEADER_TIMEOUT_S + LATE_S


async def test_second_head_that_drips_is_ended_on_time(target: Target) -> None:
    wire = await target.connect()
    await wire.send(request_head("GET", "/healthz"))
    assert (await read_reply(wire)).status == 200

    await wire.send(b"GET / HTTP/1.1\r\n")

    assert await _seconds_until_ended(wire, b"a") < HEADER_TIMEOUT_S + LATE_S


@pytest.mark.parametrize("path", ["/api/ingest/readings", "/nothing"])
async def test_refused_request_whose_body_never_comes_is_ended(target: Target, path: str) -> None:
    wire = await target.connect()
    await wire.send(request_head("POST", path, [("Content-Length", "1000")]) + b"{")
    assert (await read_reply(wire)).status in (401, 404)

    # uvicorn keeps a connection for 5 s between requests; one that cannot go on must not be kept longer.
    await wire.take_all(deadline_s=5 + LATE_S)


async def test_poll_may_wait_longer_than_a_head(target: Target) -> None:
    polling = await target.polling("/socket.io/")
    pending = await polling.start_get()

    await asyncio.sleep(HEADER_TIMEOUT_S * 2)
    await polling.post("1")

    assert (await read_reply(pending)).status == 200


async def _status(target: Target, head: bytes) -> int:
    wire = await target.connect()
    await wire.send(head)
    return (await read_reply(wire)).status


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("X-Long", "a" * 17_000)], id="one long header"),
        pytest.param([(f"X-{number}", "a" * 1_000) for number in range(20)], id="several large headers"),
        pytest.param([(f"X-{number}", "a") for number in range(110)], id="110 headers"),
        pytest.param([("X" * 17_000, "a")], id="long header name"),
    ],
)
@pytest.mark.parametrize("upgrade", [(), UPGRADE_HEADERS], ids=["polling", "websocket"])
async def test_head_above_a_limit_is_answered_with_431(target: Target, headers, upgrade) -> None:
    url = WEBSOCKET_URL if upgrade else URL

    assert await _status(target, request_head("GET", url, [*upgrade, *headers])) == 431


async def test_long_url_is_refused(target: Target) -> None:
    assert await _status(target, request_head("GET", f"/?{'a' * 17_000}")) in (400, 414, 431)


async def test_head_without_end_is_refused_long_before_it_fills_the_memory(target: Target) -> None:
    wire = await target.connect()
    sent = 0

    while not wire.ended and sent < 50_000_000:
        await wire.send(b"a" * 100_000)
        sent += 100_000

    assert wire.ended


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS"),
        pytest.param(b"SSH-2.0-x\r\n", id="SSH"),
        pytest.param(b"GET\r\n\r\n", id="no URL"),
        pytest.param(b"\xff" * 9, id="0xff"),
    ],
)
async def test_noise_is_refused_or_ended(target: Target, noise: bytes) -> None:
    wire = await target.connect()
    await wire.send(noise)
    try:
        assert (await read_reply(wire, deadline_s=HEADER_TIMEOUT_S + LATE_S)).status == 400
    except ConnectionEnded:
        assert wire.ended


async def test_sessions_beyond_the_limit_get_503_and_find_room_later(target: Target) -> None:
    first = await target.polling("/socket.io/")
    url = f"{URL}&fill"
    while (reply := await target.request("GET", url)).status == 200:
        pass
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) >= 1
    with pytest.raises(Refused) as refused:
        await target.raw_websocket(WEBSOCKET_URL)
    assert refused.value.reply.status == 503

    await first.send("1")

    await target.websocket("/socket.io/")


async def test_handshakes_faster_than_the_limit_get_503(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "slow", {"handshakes_per_s": 5}).start()
    target = Target("sensorcast", server.port)

    started_s, statuses = time.monotonic(), list[int]()
    while len(statuses) < 20 or 503 not in statuses:
        statuses.append((await target.request("GET", URL)).status)
    elapsed_s = time.monotonic() - started_s

    server.close()
    assert 5 <= statuses.count(200) <= 5 + 1 + 5 * elapsed_s
    assert set(statuses) == {200, 503}
