"""Where Redis is and what kind of Redis it is: one server, or the primaries of a Redis Cluster.

Owns the setting `redis_url` and everything done once per connection. The invariant: no password is ever part of a text
that leaves this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlparse

import msgspec
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from sensorcast.errors import ConfigurationError

SHARDED_FROM_VERSION: Final = 7
"""Since this version of Redis a channel can belong to one shard, so that a cluster need not tell all its servers."""

_SCHEMES: Final[Mapping[str, type[Connection]]] = {"redis": Connection, "rediss": SSLConnection}


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What there is behind the address: the servers, which of them has which channel, and how to speak to them."""

    places: tuple[tuple[str, int], ...]
    slot_ends: tuple[tuple[int, int], ...] = ()
    """(last slot, index into `places`), ascending; empty for one server."""
    sharded: bool = False

    def place_of(self, channel: bytes) -> int:
        """Give the index of the server that has a channel."""
        if not self.slot_ends:
            return 0
        slot = key_slot(channel)
        return next((index for last, index in self.slot_ends if slot <= last), 0)


class RedisAddress:
    """A checked `redis_url`. Raises `ConfigurationError` when it cannot be one."""

    def __init__(self, url: str) -> None:
        try:
            parsed = urlparse(url)
            self._kind = _SCHEMES[parsed.scheme]
            if not parsed.hostname or not (parsed.path.removeprefix("/") or "0").isdigit():
                raise ValueError
            self._arguments: dict[str, Any] = {"port": 6379, **parse_url(url)}
            self._arguments.pop("connection_class", None)
            self.place = (str(self._arguments.pop("host")), int(self._arguments.pop("port")))
            self._connection(self.place)
        except (KeyError, TypeError, ValueError, RedisError):
            # Not the error's own text, nor as its cause: it may hold the password.
            raise ConfigurationError(
                "redis_url (--redis-url, SENSORCAST_REDIS_URL) must be redis://host:port/0 or "
                "rediss://user:password@host:port/0"
            ) from None

    def __str__(self) -> str:
        return f"Redis at {self.place[0]} port {self.place[1]}"

    async def connect(self, place: tuple[str, int], *, timeout_s: float) -> Connection:
        """Give a connection, logged in. Raises `RedisError`, `OSError` or `TimeoutError`."""
        connection = self._connection(place)
        try:
            async with asyncio.timeout(timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _connection(self, place: tuple[str, int]) -> Connection:
        # No timeouts of its own: whoever reads and writes watches over that, and tells a slow server from a slow loop.
        options = {**self._arguments, "protocol": 2, "socket_timeout": None}
        return self._kind(host=place[0], port=place[1], **options)

    async def look(self, *, timeout_s: float) -> Layout:
        """Ask what there is behind the address."""
        connection = await self.connect(self.place, timeout_s=timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                version = await _info(connection, "server", "redis_version")
                sharded = version.partition(".")[0].isdigit() and int(version.partition(".")[0]) >= SHARDED_FROM_VERSION
                if await _info(connection, "cluster", "cluster_enabled") != "1":
                    return Layout(places=(self.place,), sharded=sharded)
                return _cluster_layout(await _ask(connection, "CLUSTER", "SLOTS"), self.place[0], sharded)
        finally:
            await connection.disconnect(nowait=True)


def _cluster_layout(slots: Any, known_host: str, sharded: bool) -> Layout:
    """Give the layout of a Redis Cluster, from its answer: ranges of slots, each with its primary first."""
    places: dict[tuple[str, int], int] = {}
    ends = []
    for _first, last, primary, *_replicas in slots:
        place = (primary[0].decode() if primary[0] else known_host, int(primary[1]))
        ends.append((int(last), places.setdefault(place, len(places))))
    if not places:
        raise RedisError("the Redis Cluster has no servers for its slots")
    return Layout(places=tuple(places), slot_ends=tuple(sorted(ends)), sharded=sharded)


async def _info(connection: Connection, section: str, name: str) -> str:
    """Give one line of what the server says about itself; empty when it may not be asked."""
    try:
        answer: bytes = await _ask(connection, "INFO", section)
    except ResponseError:
        return ""
    lines = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return next((value for key, _, value in lines if key == name), "")


async def _ask(connection: Connection, *words: str) -> Any:
    await connection.send_command(*words)
    return await connection.read_response()
