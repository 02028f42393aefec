"""Servers of the conformance suite, one process each for the whole session, and what a test sees of them.

`server` has the short heartbeat of the official suites (300 ms + 200 ms); `patient_server` the default one (25 s +
20 s), so that nothing there can be explained by a ping timeout. Every test that takes one runs on both targets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from . import servers
from .canary import Canary
from .clients import Target

TARGETS = ("sensorcast", "reference")
# An answer this late would be noticed; one later than usual on a busy machine would not.
CANARY_PATIENCE_MS = 2_000


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., servers.ServerProcess]]:
    """Start a server once for each choice of arguments; all are stopped at the end of the session."""
    started: dict[tuple[str, int, int], servers.ServerProcess] = {}
    folder = tmp_path_factory.mktemp("servers")

    def get(name: str, ping_interval_ms: int, ping_timeout_ms: int) -> servers.ServerProcess:
        choice = (name, ping_interval_ms, ping_timeout_ms)
        if choice not in started:
            log_path = folder / f"{name}-{ping_interval_ms}.log"
            started[choice] = servers.start(
                name, log_path, ping_interval_ms=ping_interval_ms, ping_timeout_ms=ping_timeout_ms
            )
        return started[choice]

    yield get
    servers.stop_all(started.values())


async def target_of(process: servers.ServerProcess) -> AsyncIterator[Target]:
    target = Target(process.name, process.port, pid=process.process.pid)
    yield target
    target.abort_all()


@pytest.fixture(params=TARGETS)
async def server(request: pytest.FixtureRequest, running) -> AsyncIterator[Target]:
    """The server with the short heartbeat."""
    async for target in target_of(running(request.param, 300, 200)):
        yield target


@pytest.fixture(params=TARGETS)
async def patient_server(request: pytest.FixtureRequest, running) -> AsyncIterator[Target]:
    """The server with the default heartbeat."""
    async for target in target_of(running(request.param, 25_000, 20_000)):
        yield target


@pytest.fixture(scope="session")
def canaries(running) -> Iterator[Callable[[Target], Canary]]:
    """One canary for each patient server, for the whole session."""
    started: dict[str, Canary] = {}

    def get(target: Target) -> Canary:
        if target.name not in started:
            started[target.name] = Canary(target.port)
        return started[target.name]

    yield get
    for canary in started.values():
        canary.stop()


@pytest.fixture
def canary(patient_server: Target, canaries) -> Iterator[Canary]:
    """A bystander on the patient server; the test fails when it lost a connection or waited long for an answer."""
    bystander = canaries(patient_server)
    bystander.report()
    yield bystander
    report = bystander.report()
    assert "lost" not in report, report
    assert report["worst_ms"] < CANARY_PATIENCE_MS, report


def pytest_itemcollected(item: pytest.Item) -> None:
    """Heartbeats of 200 ms, and closes at once, cannot be judged while the machine stands still."""
    item.add_marker("real_time")
