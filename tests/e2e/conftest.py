"""A running demo, for everything that is seen by following its link; and organizations on each kind of store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.postgres import PostgresServer
from tests.support.server import Organization, ServerProcess
from tests.support.waiting import wait_until

LINK = re.compile(r"http://\S+/#token=\S+")


@dataclass(frozen=True)
class Demo:
    """What `sensorcast demo` started, and the link it printed."""

    server: ServerProcess
    link: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo."""
    server = ServerProcess(tmp_path_factory.mktemp("demo"), command=("demo",)).start()
    found = wait_until(
        lambda: LINK.search(server.output.read_text(encoding="utf-8")), within_s=10, what="a printed login link"
    )
    yield Demo(server, found.group())
    server.close()


@pytest.fixture(scope="session")
def shared_server_on_postgres(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """What `shared_server` is, with its readings in PostgreSQL."""
    settings = {"flush_interval_ms": 100, "database_url": asyncio.run(postgres.new_database())}
    server = ServerProcess(tmp_path_factory.mktemp("server-on-postgres"), settings)
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["shared_server", "shared_server_on_postgres"], ids=["sqlite", "postgres"])
def organization_on_each_store(request: pytest.FixtureRequest) -> Organization:
    """An organization of one's own on a shared server, once for each kind of store."""
    server: ServerProcess = request.getfixturevalue(request.param)
    return server.organization()
