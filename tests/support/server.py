"""A real `sensorcast` process for tests: its own port, its own data folder, its captured output.

Owns starting, stopping, killing and restarting it, and the credentials of the organizations that tests make up. A port
stays the same over restarts, so that a stock client can find the server again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from sensorcast import auth
from sensorcast.app import open_store
from sensorcast.model import ApiKey, Role
from sensorcast.settings import Settings

from .ports import free_port
from .waiting import wait_until

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
CALM: Mapping[str, object] = {"queue_max_wait_s": 30}
"""Settings of servers in tests that say nothing else: a disk that stalls for a second must make none of them fail."""


def reading(unit_id: str = "unit-1", *, at_us: int | None = None, **values: Any) -> dict[str, Any]:
    """Make a valid reading of now, in the form in which devices send it."""
    measured = values or {"temperature": 4.25}
    return {"unitId": unit_id, "recordedAt": time_text(time.time_ns() // 1000 if at_us is None else at_us), **measured}


def time_text(epoch_us: int) -> str:
    """Write a time as devices send it: RFC 3339, UTC, microseconds."""
    return datetime.fromtimestamp(epoch_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{epoch_us % 1_000_000:06d}Z"
    )


@dataclass
class ServerProcess:
    """One server on one data folder. `start` it; afterwards `url` answers."""

    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    command: Sequence[str] = ("serve",)
    program: Sequence[str] = (sys.executable, "-m", "sensorcast")
    """What runs the command; a test may put a tracer in front, or a fault inside."""
    host: str = "127.0.0.1"
    """Where it is reached."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://{self.host}:{self.port}"

    @property
    def data(self) -> Path:
        """The data folder, kept over restarts."""
        return self.folder / "data"

    @property
    def store_settings(self) -> Settings:
        """Settings with which to open the same store."""
        return Settings(data=str(self.data), database_url=str(self.settings.get("database_url", "")))

    @property
    def output(self) -> Path:
        """File of everything the process writes, standard error included."""
        return self.folder / "output.log"

    @cached_property
    def http(self) -> httpx.Client:
        """A client for this server; its connections do not survive a restart, `http` does."""
        return httpx.Client(base_url=self.url, timeout=30, transport=httpx.HTTPTransport(retries=1))

    def start(self, *, until: str = "/readyz") -> ServerProcess:
        """Start the process and wait until it answers 200 at `until`: it is ready, or with `/healthz` just there."""
        assert self.process is None, "already running"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.program, *self.command, "--port", str(self.port), "--data", str(self.data)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: self._answers(until), within_s=START_DEADLINE_S, what=f"{until} answers 200")
        return self

    def kill(self) -> None:
        """Kill the process without warning."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Ask the process to stop; give its exit code."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same data and port, after `kill` or `terminate`."""
        self.start()

    def close(self) -> None:
        """Stop whatever is left. For fixtures."""
        if self.process is not None:
            self._end(signal.SIGTERM)
        if "http" in self.__dict__:
            self.http.close()

    def log_lines(self) -> list[dict[str, Any]]:
        """Give the structured log lines written so far."""
        text = self.output.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def run_cli(self, *arguments: str) -> str:
        """Run another `sensorcast` command on this server's data folder; give its standard output."""
        command = [sys.executable, "-m", "sensorcast", *arguments, "--data", str(self.data)]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def organization(self, name: str | None = None) -> Organization:
        """Make up an organization; nobody else uses it unless `name` is given."""
        return Organization(self, name or f"org-{uuid.uuid4().hex[:8]}")

    def _environment(self) -> dict[str, str]:
        mine = {f"SENSORCAST_{name.upper()}": str(value) for name, value in {**CALM, **self.settings}.items()}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("SENSORCAST_")}
        return {**outside, **mine, "PYTHONWARNINGS": "default"}

    def _answers(self, path: str) -> bool:
        assert self.process is not None
        if (code := self.process.poll()) is not None:
            self.process = None
            raise AssertionError(f"server ended with {code}:\n{self.output.read_text(errors='replace')[-3000:]}")
        try:
            return httpx.get(f"{self.url}{path}", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def _end(self, with_signal: signal.Signals) -> int:
        assert self.process is not None, "not running"
        process, self.process = self.process, None
        process.send_signal(with_signal)
        try:
            return process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@dataclass
class Organization:
    """A tenant of a started server, with the credentials to act for it."""

    server: ServerProcess
    name: str

    @cached_property
    def key(self) -> str:
        """An API key of this organization, put where `sensorcast keys create` puts it, without its start-up time."""
        record, text = auth.new_api_key(self.name, "test", time.time_ns() // 1_000)
        asyncio.run(self._store_key(record))
        return text

    async def _store_key(self, record: ApiKey) -> None:
        store = open_store(self.server.store_settings)
        await store.open()
        try:
            await store.create_key(record)
        finally:
            await store.close()

    @cached_property
    def viewer_token(self) -> str:
        """A token of a viewer of this organization, good for an hour."""
        return self.token()

    def token(self, *, role: str = "viewer", ttl_s: float = 3_600) -> str:
        """Mint a token for a user of this organization, as `sensorcast token` does."""
        configured = str(self.server.settings.get("jwt_secret", ""))
        secret = auth.load_or_create_secret(Settings(data=str(self.server.data), jwt_secret=configured))
        return auth.mint_token(
            secret, organization_id=self.name, role=Role(role), subject="test", ttl_s=ttl_s, now_s=time.time()
        )

    def post(self, *readings: Mapping[str, Any]) -> httpx.Response:
        """Send readings as a gateway of this organization does."""
        return self.server.http.post(
            "/api/ingest/readings", json={"readings": readings}, headers={"X-API-Key": self.key}
        )

    def post_bytes(self, body: bytes | Iterable[bytes], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send any body at all with a good key."""
        merged = {"X-API-Key": self.key, "Content-Type": "application/json", **(headers or {})}
        return self.server.http.post("/api/ingest/readings", content=body, headers=merged)

    def get(self, path: str, *, role: str = "viewer") -> httpx.Response:
        """Ask the query API; `path` is below this organization when it does not start with a slash."""
        token = self.viewer_token if role == "viewer" else self.token(role=role)
        address = path if path.startswith("/") else f"/api/orgs/{self.name}/{path}"
        return self.server.http.get(address, headers={"Authorization": f"Bearer {token}"})
