"""Fixtures of the end to end tests, and the rule that nothing is skipped in CI.

A skip hides a missing program or package, which set-up should have installed; with `CI=true` it is a failure.

What a test module leaves behind is collected at its end: an unclosed connection is then a failure of that module, not
of whichever test runs when the collector happens to come by. What remains is frozen, so that a collection during a
test looks at what that module made, not at thousands of tests; else it takes half a second, and timing tests fail.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import stalls
from tests.support.node import NodeClient, NodeDriver
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import Organization, ServerProcess

IN_CI = os.environ.get("CI") == "true"
FAST_FLUSH_MS = 100

# An example may take as long as a busy machine needs: what is slow is for `bench/` to say, never for a property.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

StartServer = Callable[..., ServerProcess]


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Collect the garbage of the module at its end, and spare later collections what is left of it."""
    yield
    freeze_the_heap()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for every test that leaves it running: default settings, but for a flush every 100 ms."""
    server = ServerProcess(tmp_path_factory.mktemp("server"), {"flush_interval_ms": FAST_FLUSH_MS})
    server.start()
    yield server
    server.close()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of one's own, with settings as keyword arguments: to kill, stop and restart."""
    started: list[ServerProcess] = []

    def start(**settings: object) -> ServerProcess:
        server = ServerProcess(tmp_path / f"server-{len(started)}", settings)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.close()


@pytest.fixture
def organization(shared_server: ServerProcess) -> Organization:
    """An organization of one's own on the shared server."""
    return shared_server.organization()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server of our own, for tests that make databases in it and leave it running."""
    # Not below pytest's folders: those are closed to the unprivileged user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="sensorcast-postgres-") as folder:
        server = PostgresServer(Path(folder)).create()
        yield server
        server.stop("immediate")


@pytest.fixture(scope="session")
def shared_server_on_postgres(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """What `shared_server` is, with its readings in PostgreSQL."""
    settings = {"flush_interval_ms": FAST_FLUSH_MS, "database_url": asyncio.run(postgres.new_database())}
    server = ServerProcess(tmp_path_factory.mktemp("server-on-postgres"), settings)
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["shared_server", "shared_server_on_postgres"], ids=["sqlite", "postgres"])
def organization_on_each_store(request: pytest.FixtureRequest) -> Organization:
    """An organization of one's own on a shared server, once for each kind of store."""
    server: ServerProcess = request.getfixturevalue(request.param)
    return server.organization()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis server for every test that leaves it running; keep apart by `redis_prefix`."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start Redis servers of one's own, with further arguments of `redis-server`: to kill, pause and restart."""
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        started.append(RedisServer(tmp_path / f"redis-{len(started)}", options).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def node() -> Iterator[NodeDriver]:
    """The Node process that carries stock npm socket.io-clients."""
    with NodeDriver() as driver:
        yield driver


@pytest.fixture
def browser_client(node: NodeDriver) -> Iterator[Callable[..., NodeClient]]:
    """Connect stock npm clients that are disconnected at the end of the test."""
    clients: list[NodeClient] = []

    def connect(url: str, **options: Any) -> NodeClient:
        clients.append(node.connect(url, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.disconnect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those that look at what all others have left behind at the end."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run what is marked `real_time` in a way that bears with a machine that stands still."""
    if item.get_closest_marker("real_time") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in stalls.run_real_time(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was run again."""
    for line in stalls.repeated:
        terminalreporter.write_line(f"run again: {line}")


def pytest_collection_finish() -> None:
    """Spare all collections the test modules themselves."""
    freeze_the_heap()


def pytest_sessionfinish() -> None:
    """Let the last collection, that of pytest itself, look at everything once more."""
    gc.unfreeze()


def freeze_the_heap() -> None:
    """Collect what is garbage; leave all else out of later collections."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI."""
    report = yield
    return _not_skipped(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure in CI."""
    report = yield
    return _not_skipped(report)


def _not_skipped(report: Any) -> Any:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {reason}"
    return report
