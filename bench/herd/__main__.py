"""How long until 10,000 clients are back after a kill -9 and a restart, and does ingestion answer meanwhile?

Clients come back as stock clients do: after a second, give or take half, then after twice as long, up to five seconds.
A gateway sends one reading every 100 ms all the time. The server has one core, all clients the other. Target: all
clients back within 30 s of the kill, and every request since the server listens again answered.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import httpx
import msgspec
import uvloop

from bench.machine import describe
from bench.servers import CLIENT_CORE, Launch, Workload, free_port, launch, prepare_process, running
from sensorcast.loadtest.connection import Connection, Refused, Target, connect

IN_FLIGHT = 200
GIVE_UP_S = 60.0
CONNECT_TIMEOUT_S = 20.0
"""What stock clients have."""
SPARE_DESCRIPTORS = 200
DESCRIPTOR_SHARE = 0.8
"""What of its descriptors the server gives to connections."""


class Herd:
    """All clients on one event loop, and the gateway beside them."""

    def __init__(self, port: int, plan: Launch, clients: int) -> None:
        self._target = Target("127.0.0.1", port, is_tls=False)
        self._token = str(msgspec.json.decode(plan.connect_payloads[0])["token"])
        self._key = plan.api_keys[0]
        self._free = asyncio.Semaphore(IN_FLIGHT)
        self._clients = clients
        self.connections: list[Connection] = []
        self.tries = 0
        self.back_at_s: list[float] = []
        self.answers: list[tuple[float, float, int]] = []
        """When each request began, how long it took, and its status; 0 when there was no answer."""

    async def join(self) -> None:
        """Make all connections for the first time."""
        await asyncio.gather(*(self._come_back() for _ in range(self._clients)))
        self.tries, self.back_at_s = 0, []

    async def _connect(self) -> Connection:
        async with self._free, asyncio.timeout(CONNECT_TIMEOUT_S):
            return await connect(self._target, self._token, lambda connection, payload: None)

    async def come_back(self) -> None:
        """Wait until everybody who was lost is joined again."""
        async with asyncio.timeout(GIVE_UP_S):
            lost, self.connections = self.connections, []
            await asyncio.gather(*(self._come_back() for _ in lost))

    async def _come_back(self) -> None:
        delay_s = 1.0
        while True:
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))
            self.tries += 1
            try:
                self.connections.append(await self._connect())
            except (OSError, Refused):
                delay_s = min(5.0, delay_s * 2)
            else:
                self.back_at_s.append(time.monotonic())
                return

    async def send(self) -> None:
        """Send a reading every 100 ms, whatever becomes of it."""
        url = f"http://127.0.0.1:{self._target.port}/api/ingest/readings"
        async with httpx.AsyncClient(headers={"X-API-Key": self._key}, timeout=10) as http:
            while True:
                began_s = time.monotonic()
                recorded_at = (
                    time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000 % 10**6:06d}Z"
                )
                reading = {"unitId": "u1", "recordedAt": recorded_at, "temperature": 4.0}
                try:
                    status = (await http.post(url, json={"readings": [reading]})).status_code
                except httpx.TransportError:
                    status = 0
                self.answers.append((began_s, time.monotonic() - began_s, status))
                await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began_s)))


async def measure(port: int, plan: Launch, folder: Path, clients: int) -> None:
    herd = Herd(port, plan, clients)
    with running(plan, port=port, folder=folder) as server:
        began_s = time.monotonic()
        await herd.join()
        print(
            f"\n{clients:,} clients joined in {time.monotonic() - began_s:.1f} s, {server.rss_bytes() / 2**20:.0f} MiB"
        )
        sending = asyncio.ensure_future(herd.send())
        await asyncio.sleep(2.0)
        killed_s = time.monotonic()
        server.process.kill()
        server.process.wait()
        coming_back = asyncio.ensure_future(herd.come_back())
        restarted = running(plan, port=port, folder=folder)
        await asyncio.to_thread(restarted.__enter__)
        listening_s = time.monotonic()
        try:
            await coming_back
            await asyncio.sleep(1.0)
        finally:
            sending.cancel()
            report(herd, killed_s, listening_s)
            for connection in herd.connections:
                connection.close()
            await asyncio.to_thread(restarted.__exit__, None, None, None)


def report(herd: Herd, killed_s: float, listening_s: float) -> None:
    back_s = sorted(at_s - killed_s for at_s in herd.back_at_s)
    since = [(took_s, status) for began_s, took_s, status in herd.answers if began_s >= listening_s]
    took_ms = sorted(took_s * 1e3 for took_s, _ in since) or [0.0]
    last = len(back_s) - 1
    print(f"  listens again {listening_s - killed_s:.1f} s after the kill")
    print(f"  {len(back_s):,} clients back, after {herd.tries:,} tries: half of them within {back_s[last // 2]:.1f} s, "
          f"99 % within {back_s[round(last * 0.99)]:.1f} s, all within {back_s[last]:.1f} s of the kill")  # fmt: skip
    refused = sum(status != 200 for _, status in since)
    print(f"  ingestion since then: {len(since)} requests, {refused} not answered 200, "
          f"p50 {took_ms[len(took_ms) // 2]:.0f} ms, max {took_ms[-1]:.0f} ms")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.herd", description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--handshakes-per-s", type=int, default=600, help="the server's setting")
    chosen = parser.parse_args()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop"), flush=True)
    prepare_process(CLIENT_CORE)
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    clients = min(chosen.clients, int(descriptors * DESCRIPTOR_SHARE), descriptors - SPARE_DESCRIPTORS)
    if clients < chosen.clients:
        print(f"only {clients:,} clients: a process may have {descriptors:,} open files here")
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder_name:
        folder, port = Path(folder_name), free_port()
        plan = launch("sensorcast", Workload(1, clients, 1), port=port, folder=folder, event_bytes=0)
        settings = {**plan.environment, "SENSORCAST_HANDSHAKES_PER_S": str(chosen.handshakes_per_s)}
        plan = dataclasses.replace(plan, environment=settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(port, plan, folder, clients))


if __name__ == "__main__":
    sys.exit(main())
