"""One server with all its connections made: what every measurement over sockets starts from."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.load import LoadClient, connected
from bench.servers import Launch, RunningServer, Workload, free_port, launch, running

RESTING_S = 2.0
"""Between the last connection and the look at the memory: what was only needed to connect is given back by then."""


@dataclass(frozen=True)
class Session:
    """A running server, its clients, and what connecting them has cost it."""

    server: RunningServer
    clients: LoadClient
    plan: Launch
    workload: Workload
    empty_rss_bytes: int
    cpu_us_per_connect: float
    rss_kib_resting: float
    """Resident memory per connection when all are connected, before anything is sent."""

    @property
    def connects_per_s(self) -> float:
        joined = self.clients.joined
        return joined.joined / joined.seconds

    def rss_kib(self) -> float:
        """Resident memory per connection now."""
        return (self.server.rss_bytes() - self.empty_rss_bytes) / 1024 / self.workload.connections


@contextlib.contextmanager
def session(
    name: str, workload: Workload, *, event_bytes: int = 0, environment: Mapping[str, str] | None = None
) -> Iterator[Session]:
    """Start a server and connect everybody; stop both at the end. `event_bytes` is the size of the floor's events."""
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder_name:
        folder, port = Path(folder_name), free_port()
        plan = launch(name, workload, port=port, folder=folder, event_bytes=event_bytes)
        plan = dataclasses.replace(plan, environment={**plan.environment, **(environment or {})})
        with running(plan, port=port, folder=folder) as server:
            empty_rss_bytes, empty_cpu_ns = server.rss_bytes(), server.cpu_ns()
            with connected(workload, plan, port=port, folder=folder) as clients:
                connecting_cpu_ns = server.cpu_ns() - empty_cpu_ns
                time.sleep(RESTING_S)
                yield Session(
                    server=server,
                    clients=clients,
                    plan=plan,
                    workload=workload,
                    empty_rss_bytes=empty_rss_bytes,
                    cpu_us_per_connect=connecting_cpu_ns / 1e3 / workload.connections,
                    rss_kib_resting=(server.rss_bytes() - empty_rss_bytes) / 1024 / workload.connections,
                )
