"""Where outside keys come from: fresh, bounded, never fooled by a redirect, never taken away by an outage."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sensorcast.auth import KeySource
from sensorcast.auth.key_source import RETRY_S, SIZE_MAX_BYTES
from sensorcast.errors import ConfigurationError

from .jwk import key_set, public_jwk


class Provider:
    """An HTTP server that gives one answer, whatever is asked."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = "200 OK", "", key_set(public_jwk("ES256", "first"))
        self.requests: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n{self.headers}\r\n"
        writer.write(head.encode() + self.body)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"  # type: ignore[attr-defined]
    async with server:
        yield made


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def source_of(address: str, clock: Clock) -> KeySource:
    return KeySource(address, clock_s=clock)


async def test_keys_come_from_a_url(provider: Provider) -> None:
    source = source_of(provider.url, Clock())  # type: ignore[attr-defined]
    assert source.find("first") is None
    await source.refetch()
    found = source.find("first")
    assert found is not None
    assert found.algorithm == "ES256"
    assert source.find("second") is None


async def test_keys_come_from_a_file_and_follow_it(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys.json", Clock()
    file.write_bytes(key_set(public_jwk("ES256", "first")))
    source = source_of(str(file), clock)
    await source.refetch()
    file.write_bytes(key_set(public_jwk("RS256", "second")))
    clock.now_s = RETRY_S
    await source.refetch()
    assert (source.find("first"), source.find("second") is None) == (None, False)


async def test_the_provider_is_asked_at_most_every_30_seconds(provider: Provider) -> None:
    clock = Clock()
    source = source_of(provider.url, clock)  # type: ignore[attr-defined]
    await asyncio.gather(*[source.refetch() for _ in range(20)])
    clock.now_s = RETRY_S - 0.1
    await source.refetch()
    assert len(provider.requests) == 1
    clock.now_s = RETRY_S
    await source.refetch()
    assert len(provider.requests) == 2


BAD_ANSWERS = {
    "gone": ("404 Not Found", "", b"{}"),
    "broken": ("500 Internal Server Error", "", b""),
    "not a set": ("200 OK", "", b"<html>"),
    "redirect": ("302 Found", "Location: http://127.0.0.1:1/\r\n", b""),
    "too large": ("200 OK", "", b" " * (SIZE_MAX_BYTES + 1) + key_set(public_jwk("ES256", "other"))),
    "gzip": ("200 OK", "Content-Encoding: gzip\r\n", gzip.compress(key_set(public_jwk("ES256", "other")))),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_known_keys_outlive_a_failing_provider(provider: Provider, bad: tuple[str, str, bytes]) -> None:
    clock = Clock()
    source = source_of(provider.url, clock)  # type: ignore[attr-defined]
    await source.refetch()
    provider.status, provider.headers, provider.body = bad
    clock.now_s = RETRY_S
    await source.refetch()
    assert len(provider.requests) == 2
    assert source.find("first") is not None
    assert source.find("other") is None


async def test_a_provider_that_is_away_is_no_error(tmp_path: Path) -> None:
    for address in ("http://127.0.0.1:1/keys", str(tmp_path / "missing.json"), str(tmp_path)):
        source = source_of(address, Clock())
        await source.refetch()
        assert source.find("first") is None


@pytest.mark.parametrize(
    "address",
    [
        "http://issuer.example/keys",
        "http://10.0.0.1/keys",
        "http://localhost.evil.example/keys",
        "ftp://issuer.example/keys",
        "file:///etc/passwd",
        "https://",
        "https://user:password@issuer.example/keys",
        "http://[::1/keys",
    ],
)
def test_an_address_that_is_not_safe_stops_the_start(address: str) -> None:
    with pytest.raises(ConfigurationError, match="jwt_jwks"):
        source_of(address, Clock())


@pytest.mark.parametrize(
    "address", ["https://issuer.example/keys", "http://127.0.0.1:9/k", "http://[::1]:9/k", "http://localhost/k"]
)
def test_https_and_this_machine_itself_are_safe(address: str) -> None:
    assert source_of(address, Clock()).find("any") is None


async def test_a_withdrawn_key_goes_with_the_next_look(provider: Provider) -> None:
    clock = Clock()
    source = source_of(provider.url, clock)  # type: ignore[attr-defined]
    await source.refetch()
    provider.body = key_set(public_jwk("ES256", "second"))
    clock.now_s = RETRY_S
    await source.refetch()
    assert source.find("first") is None
    assert source.find("second") is not None


async def test_plain_http_reaches_this_machine_itself_and_no_proxy(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    source = source_of(provider.url, Clock())  # type: ignore[attr-defined]
    await source.refetch()
    assert source.find("first") is not None
