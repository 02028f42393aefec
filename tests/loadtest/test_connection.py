"""One dashboard of a load test: addresses, frames, joining and being refused by a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sensorcast.errors import ConfigurationError
from sensorcast.loadtest.connection import Connection, Refused, Target, connect, frame_size
from tests.support.ports import free_port
from tests.support.server import Organization, ServerProcess, reading


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080", Target("127.0.0.1", 8080, False)),
        ("http://example.test/", Target("example.test", 80, False)),
        ("https://example.test", Target("example.test", 443, True)),
        ("http://[::1]:9000", Target("::1", 9000, False)),
    ],
)
def test_an_address_is_read(url: str, target: Target) -> None:
    assert Target.of(url) == target


@pytest.mark.parametrize("url", ["", "example.test", "ftp://example.test", "http://", "http://a:port"])
def test_what_is_no_address_is_a_mistake_in_the_option(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--url"):
        Target.of(url)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", None),
        (b"\x81", None),
        (b"\x81\x02a", None),
        (b"\x81\x02ab", (2, 4)),
        (b"\x81\x7e\x00", None),
        (b"\x81\x7e\x00\x80" + b"x" * 128, (4, 132)),
        (b"\x81\x7f" + (70_000).to_bytes(8) + b"x" * 70_000, (10, 70_010)),
    ],
    ids=str,
)
def test_a_frame_is_found_when_all_of_it_is_there(data: bytes, found: tuple[int, int] | None) -> None:
    assert frame_size(data[:20] if found is None else data, 0) == found


async def test_a_connection_joins_and_gets_batches(organization: Organization) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    target = Target.of(organization.server.url)
    connection = await connect(target, organization.viewer_token, lambda _, payload: arrived.put_nowait(payload))
    await asyncio.to_thread(organization.post, reading("u1"))
    async with asyncio.timeout(30):
        assert b'"unitId":"u1"' in await arrived.get()
    assert not connection.is_lost
    connection.close()


def _ignore(connection: Connection, payload: bytes) -> None: ...


async def test_a_bad_token_is_refused_for_good(organization: Organization) -> None:
    with pytest.raises(Refused, match="token") as refused:
        await connect(Target.of(organization.server.url), "no token", _ignore)
    assert not refused.value.retry


async def test_a_server_that_is_full_may_be_asked_again(start_server: Callable[..., ServerProcess]) -> None:
    server = await asyncio.to_thread(start_server, connections_max=1)
    organization = server.organization()
    first = await connect(Target.of(server.url), organization.viewer_token, _ignore)
    with pytest.raises(Refused, match="503") as refused:
        await connect(Target.of(server.url), organization.viewer_token, _ignore)
    assert refused.value.retry
    first.close()


async def test_a_connection_knows_that_it_was_lost(start_server: Callable[..., ServerProcess]) -> None:
    server = await asyncio.to_thread(start_server)
    organization = server.organization()
    connection = await connect(Target.of(server.url), organization.viewer_token, _ignore)
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(30):
        while not connection.is_lost:
            await asyncio.sleep(0.01)


async def test_a_connection_that_has_stopped_reading_gets_nothing_more(organization: Organization) -> None:
    arrived: list[bytes] = []
    target = Target.of(organization.server.url)
    connection = await connect(target, organization.viewer_token, lambda _, payload: arrived.append(payload))
    other = await connect(target, organization.viewer_token, lambda _, payload: arrived.append(b"other"))
    connection.stop_reading()
    await asyncio.to_thread(organization.post, reading("u1"))
    async with asyncio.timeout(30):
        while not arrived:
            await asyncio.sleep(0.01)
    assert arrived == [b"other"]
    connection.close()
    other.close()


async def test_nobody_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await connect(Target.of(f"http://127.0.0.1:{free_port()}"), "any", _ignore)
