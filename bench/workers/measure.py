"""A server of so many workers under one workload: what was delivered, and the processor time of each worker for it."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.load import connected
from bench.servers import CORES, Launch, RunningServer, Workload, cpu_ns, free_port, launch, running
from bench.workers.feeder import pressing

WARM_UP_S = 6.0
IDLE_S = 0.05
IDLE_CPU_NS = 2_000_000
IDLE_DEADLINE_S = 3.0
_GENEROUS = {
    "SENSORCAST_ORGANIZATION_OUTBOUND_BYTES_PER_S": "1e12",
    "SENSORCAST_CONNECTIONS_PER_ADDRESS": "100000",
    "SENSORCAST_HTTP_CONNECTIONS_MAX": "100000",
    "SENSORCAST_INGEST_REQUESTS_PER_S": "1000000",
}
"""One organization on one address is all there is here: its shares must not be what is measured."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one server needed and delivered within the window."""

    workers: int
    seconds: float
    connections: list[int]
    """Of each worker."""
    cpu_s: list[float]
    """Of each worker."""
    readings: list[int]
    """Taken in by each worker."""
    events: int
    lost_connections: int

    @property
    def events_per_s(self) -> float:
        """Delivered by all together."""
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> list[float]:
        """Of each worker, for the events of its own connections."""
        each = self.events / sum(self.connections)
        return [cpu * 1e6 / (each * own) for cpu, own in zip(self.cpu_s, self.connections, strict=True)]

    @property
    def cpu_us_per_reading(self) -> list[float]:
        """Of each worker, with all that follows from a reading, for the readings that it took in itself."""
        return [cpu * 1e6 / max(1, own) for cpu, own in zip(self.cpu_s, self.readings, strict=True)]

    @property
    def capacity_events_per_s(self) -> float:
        """What the workers could deliver with a core each to themselves."""
        return sum(1e6 / cpu_us for cpu_us in self.cpu_us_per_event)


@dataclasses.dataclass(frozen=True)
class _Sample:
    at_us: int
    cpu_ns: list[int]


def measure(workers: int, workload: Workload, *, flushes_per_s: int, seconds: float, spread: bool) -> Result:
    """Run it. With `spread` each worker has a core of its own, on one of which the clients are as well."""
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as name:
        folder, port = Path(name), free_port()
        plan = _plan(workers, workload, port, folder, flush_interval_ms=1_000 // flushes_per_s)
        with running(plan, port=port, folder=folder) as server:
            pids = _worker_pids(server, workers)
            if spread:
                for number, pid in enumerate(pids):
                    _pin(pid, CORES[number % len(CORES)])
            with connected(workload, plan, port=port, folder=folder) as clients:
                connections = _connections(server)
                with pressing(port, plan.api_keys, units=workload.units, interval_s=1 / flushes_per_s):
                    time.sleep(WARM_UP_S)
                    taken_in = _readings(server, workers)
                    first = _sample(pids)
                    time.sleep(seconds)
                    last = _sample(pids)
                    readings = [b - a for a, b in zip(taken_in, _readings(server, workers), strict=True)]
                totals, arrivals = clients.finish()
                return Result(
                    workers=workers,
                    seconds=(last.at_us - first.at_us) / 1e6,
                    connections=connections,
                    cpu_s=[(b - a) / 1e9 for a, b in zip(first.cpu_ns, last.cpu_ns, strict=True)],
                    readings=readings,
                    events=sum(first.at_us <= at_us < last.at_us for at_us in arrivals.times_us),
                    lost_connections=clients.joined.failed + totals.closed,
                )


def _plan(workers: int, workload: Workload, port: int, folder: Path, *, flush_interval_ms: int) -> Launch:
    plan = launch("sensorcast", workload, port=port, folder=folder, event_bytes=0)
    command = [*plan.command, "--workers", str(workers), "--flush-interval-ms", str(flush_interval_ms)]
    return dataclasses.replace(plan, command=command, environment={**plan.environment, **_GENEROUS})


def _worker_pids(server: RunningServer, workers: int) -> list[int]:
    """The processes that serve: the only one, or all that the supervisor has started, once they answer."""
    pid = server.process.pid
    if workers == 1:
        return [pid]
    while len(_connections(server)) < workers:
        time.sleep(0.05)
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _connections(server: RunningServer) -> list[int]:
    """WebSockets of each worker that answers, by number."""
    found = _metric(server, "sensorcast_connections", 'transport="websocket"')
    return [found[number] for number in sorted(found)]


def _readings(server: RunningServer, workers: int) -> list[int]:
    """Readings that each worker has stored, by number."""
    found = _metric(server, "sensorcast_ingest_readings_total", 'outcome="stored"')
    return [found.get(number, 0) for number in range(workers)]


def _metric(server: RunningServer, name: str, label: str) -> dict[int, int]:
    """What each worker says; a single one says it without its number."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and label in line]
    return {int(line.partition('worker="')[2].partition('"')[0] or 0): int(float(line.split()[-1])) for line in found}


def _pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def _sample(pids: Sequence[int]) -> _Sample:
    """Read the processor time between two flushes, if the workers rest between them at all."""
    deadline_s = time.monotonic() + IDLE_DEADLINE_S
    before = _cpu_ns(pids)
    while True:
        time.sleep(IDLE_S)
        now = _cpu_ns(pids)
        if sum(now) - sum(before) < IDLE_CPU_NS or time.monotonic() > deadline_s:
            return _Sample(time.time_ns() // 1_000, now)
        before = now


def _cpu_ns(pids: Sequence[int]) -> list[int]:
    return [cpu_ns(pid) for pid in pids]
