"""The way to Node's Redis adapter over a real Redis: names as the adapter has them, nothing of the bus in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sensorcast.cluster.node_adapter import open_adapter
from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings
from tests.support.redis import RedisServer


async def until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(probe):
            await asyncio.sleep(0.02)


async def test_what_is_published_on_a_room_or_for_all_is_heard(shared_redis: RedisServer) -> None:
    heard: list[bytes] = []
    settings = Settings(redis_url=shared_redis.url, node_exchange_key="heard[1]")
    adapter = open_adapter(settings, "/", heard.append)
    await adapter.start()
    try:
        await until(lambda: shared_redis.command("PUBLISH", "heard[1]#/#", b"all") == 1)
        adapter.publish(["org:acme"], b"one room")
        adapter.publish(["org:acme", "unit:acme:u1"], b"two rooms")
        shared_redis.command("PUBLISH", "heard1#/#", b"of another key")
        shared_redis.command("PUBLISH", "heard[1]#/chat#", b"of another namespace")
        await until(lambda: len(heard) == 3)
    finally:
        await adapter.stop()
    assert heard == [b"all", b"one room", b"two rooms"]


async def test_it_is_back_after_its_connection_was_cut(shared_redis: RedisServer) -> None:
    heard: list[bytes] = []
    settings = Settings(redis_url=shared_redis.url, node_exchange_key="cut")
    adapter = open_adapter(settings, "/", heard.append)
    await adapter.start()
    try:
        await until(lambda: shared_redis.command("PUBLISH", "cut#/#", b"before") == 1)
        shared_redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: shared_redis.command("PUBLISH", "cut#/#", b"after") == 1)
        await until(lambda: b"after" in heard)
    finally:
        await adapter.stop()


def test_without_redis_there_is_nobody_to_exchange_with() -> None:
    with pytest.raises(ConfigurationError, match="needs redis_url"):
        open_adapter(Settings(), "/", print)
