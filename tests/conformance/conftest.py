"""Servers of the conformance suite, one process each for the whole session, and what a test sees of them.

`server` has the short heartbeat of the official suites (300 ms + 200 ms); `patient_server` the default one (25 s +
20 s), so that nothing there can be explained by a ping timeout. Every test that takes one runs on both targets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from . import servers
from .clients import Target

TARGETS = ("sensorcast", "reference")


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
    for process in started.values():
        process.stop()


async def _target(process: servers.ServerProcess) -> AsyncIterator[Target]:
    target = Target(process.name, process.port)
    yield target
    target.abort_all()


@pytest.fixture(params=TARGETS)
async def server(request: pytest.FixtureRequest, running) -> AsyncIterator[Target]:
    """The server with the short heartbeat."""
    async for target in _target(running(request.param, 300, 200)):
        yield target


@pytest.fixture(params=TARGETS)
async def patient_server(request: pytest.FixtureRequest, running) -> AsyncIterator[Target]:
    """The server with the default heartbeat."""
    async for target in _target(running(request.param, 25_000, 20_000)):
        yield target
