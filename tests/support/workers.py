"""The worker processes below a supervisor, as the operating system and their answers tell them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from .server import ServerProcess
from .waiting import wait_until

RESTART_DEADLINE_S = 60.0
CONNECTIONS_MAX = 400
"""The kernel spreads connections over workers by chance: as many as this reach every one of three."""


def worker_pids(server: ServerProcess) -> list[int]:
    """The process ids of the workers that run now, oldest first."""
    assert server.process is not None
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_workers(server: ServerProcess, count: int) -> None:
    """Wait until as many workers answer each other."""
    wait_until(lambda: workers_answering(server) == count, within_s=RESTART_DEADLINE_S, what=f"{count} workers answer")


def workers_answering(server: ServerProcess) -> int:
    """How many workers had their numbers in one answer of `/metrics`."""
    try:
        page = httpx.get(f"{server.url}/metrics", timeout=30).text
    except httpx.TransportError:
        return 0
    return next(int(line.split()[1]) for line in page.splitlines() if line.startswith("sensorcast_workers_answered "))


def worker_of(http: httpx.Client) -> int:
    """Which worker is at the other end of a client's one connection: its session ids begin with its number."""
    answer = http.get("/socket.io/?EIO=4&transport=polling")
    assert answer.status_code == 200, answer.text
    return int(answer.text.partition('"sid":"')[2].partition(".")[0])


@contextmanager
def client_of(server: ServerProcess, worker: int) -> Iterator[httpx.Client]:
    """A client whose one connection is with that worker."""
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    for _ in range(CONNECTIONS_MAX):
        with httpx.Client(base_url=server.url, timeout=30, limits=one) as http:
            if worker_of(http) == worker:
                yield http
                return
    raise AssertionError(f"no connection reached worker {worker}")
