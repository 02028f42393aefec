"""The servers a measurement starts, each as a process of its own on the first core; everything else uses the second.

Owns how each one is started and asked for its processor time and memory. Every server gets the same organizations
(`org-0`, `org-1`, ...), the same number of connections and the same batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench import peers
from bench.native import build
from sensorcast.app import open_store
from sensorcast.auth import load_or_create_secret, mint_token, new_api_key
from sensorcast.model import Role
from sensorcast.settings import Settings

START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 10.0
ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[1 % len(CORES)]
NAMES = ("sensorcast", "floor", "node", "python-socketio")


@dataclass(frozen=True)
class Workload:
    """Who is connected, and what is sent to them each second."""

    organizations: int
    clients: int
    """Connections of each organization."""
    units: int
    """Units of each organization; each sends one reading, and so makes one batch, a second."""

    @property
    def connections(self) -> int:
        return self.organizations * self.clients

    @property
    def events_per_flush(self) -> int:
        return self.connections * self.units

    def __str__(self) -> str:
        organizations = "" if self.organizations == 1 else f"{self.organizations} organizations x "
        return f"{organizations}{self.clients:,} clients x {self.units:,} units"


@dataclass(frozen=True)
class Launch:
    """How to start a server for one workload, and with what clients and gateways come in."""

    command: list[str]
    connect_payloads: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    api_keys: list[str] = field(default_factory=list)


def launch(name: str, workload: Workload, *, port: int, folder: Path, event_bytes: int) -> Launch:
    """Prepare a server by its name; `event_bytes` is the size of the floor's events."""
    match name:
        case "sensorcast":
            return _sensorcast(workload, port, folder)
        case "node":
            return Launch(
                ["node", str(Path(peers.__file__).with_name("node_server.mjs")), *_arguments(workload, port)],
                _open_doors(workload),
            )
        case "python-socketio":
            return Launch(
                [sys.executable, "-m", "bench.peers.python_server", *_arguments(workload, port)], _open_doors(workload)
            )
        case "floor":
            counts = (port, workload.connections, workload.units, event_bytes)
            return Launch([str(build("floor_server")), *map(str, counts)], _open_doors(workload))
    raise ValueError(f"unknown server {name!r}")


def _arguments(workload: Workload, port: int) -> list[str]:
    return list(map(str, (port, workload.organizations, workload.connections, workload.units)))


def _open_doors(workload: Workload) -> list[str]:
    return [f'{{"token":"any","organizationId":"org-{number}"}}' for number in range(workload.organizations)]


def _sensorcast(workload: Workload, port: int, folder: Path) -> Launch:
    """The whole product with its defaults, only that 5,000 clients may come at once from one address."""
    settings = Settings(data=str(folder / "data"))
    names = [f"org-{number}" for number in range(workload.organizations)]
    api_keys = asyncio.run(_create_keys(settings, names))
    secret = load_or_create_secret(settings)
    # A token for each connection, as in life: nothing is gained by having seen one before.
    tokens = [
        mint_token(
            secret,
            organization_id=names[number % len(names)],
            role=Role.VIEWER,
            subject=f"bench-{number}",
            ttl_s=86_400,
            now_s=time.time(),
        )
        for number in range(workload.connections)
    ]
    return Launch(
        [sys.executable, "-m", "sensorcast", "serve", "--port", str(port), "--data", settings.data],
        [f'{{"token":"{token}"}}' for token in tokens],
        {"SENSORCAST_HANDSHAKES_PER_S": "100000", "SENSORCAST_CONNECTIONS_PER_ORGANIZATION": "20000"},
        api_keys,
    )


async def _create_keys(settings: Settings, organization_ids: list[str]) -> list[str]:
    store = open_store(settings)
    await store.open()
    texts = []
    for organization_id in organization_ids:
        key, text = new_api_key(organization_id, "bench", time.time_ns() // 1_000)
        await store.create_key(key)
        texts.append(text)
    await store.close()
    return texts


class RunningServer:
    """A started server: its port, its output, what it has used so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process, self.port, self.output = process, port, output

    def cpu_ns(self) -> int:
        """Processor time of all its threads, as the scheduler has counted it."""
        return cpu_ns(self.process.pid)

    def rss_bytes(self) -> int:
        """Its resident memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def flush_lines(self) -> list[dict[str, object]]:
        """The flush lines of its structured log (sensorcast only)."""
        lines = self.output.read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{") and b'"event": "flush"' in line]


def cpu_ns(pid: int) -> int:
    """Processor time of all threads of a process, as the scheduler has counted it."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def wake_ups(pid: int) -> int:
    """How often a thread of a process had nothing to do and was woken up; on some machines that alone is dear."""
    lines = (
        line
        for task in Path(f"/proc/{pid}/task").glob("*/status")
        for line in task.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )
    return sum(int(line.split()[1]) for line in lines)


@contextlib.contextmanager
def running(plan: Launch, *, port: int, folder: Path) -> Iterator[RunningServer]:
    """Start a server on its core and wait until it listens; stop it at the end."""
    output = folder / "output.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            plan.command,
            cwd=ROOT,
            env={**os.environ, **plan.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: prepare_process(SERVER_CORE),
        )
    try:
        _wait_until_listening(process, port, output)
        yield RunningServer(process, port, output)
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def prepare_process(core: int) -> None:
    """Bind a new process to one core and let it open as many files as the machine allows."""
    os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    """Look into the kernel's table: a connection made to find out would be one connection too many for the floor."""
    deadline_s = time.monotonic() + START_DEADLINE_S
    while not _is_listening(port):
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise SystemExit(f"server did not start:\n{output.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.05)


def _is_listening(port: int) -> bool:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in map(str.split, rows))


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install_peers() -> None:
    """Install the Node packages, as locked, unless they are there."""
    if not (ROOT / "node_modules" / "socket.io").is_dir():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(command, cwd=ROOT, check=True)
