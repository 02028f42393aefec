"""The two ways in which servers are run here: one node on SQLite, two on PostgreSQL that Redis joins."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from sensorcast.verify.tenant import Tenant
from tests.isolation.node import nodes
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer

RunNodes = Callable[[Path], AbstractAsyncContextManager[tuple[list[str], list[Tenant]]]]


@pytest.fixture(params=["one node on SQLite", "two nodes on PostgreSQL"])
def run_nodes(request: pytest.FixtureRequest) -> RunNodes:
    """Run servers anew with each call, on a data folder of their own."""
    if request.param.endswith("SQLite"):
        return nodes
    postgres: PostgresServer = request.getfixturevalue("postgres")
    redis: RedisServer = request.getfixturevalue("shared_redis")

    @asynccontextmanager
    async def run(folder: Path) -> AsyncIterator[tuple[list[str], list[Tenant]]]:
        joined = {"redis_url": redis.url, "redis_prefix": uuid.uuid4().hex}
        async with nodes(folder, 2, database_url=await postgres.new_database(), **joined) as running:
            yield running

    return run
