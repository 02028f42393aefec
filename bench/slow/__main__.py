"""Do clients that stop reading harm the others, or the server? 1,000 clients, 100 of which stop reading.

First all of them read, then 100 stop, then the same time goes by again. Delays are those of the clients that read on,
from sending to arrival, over the same length of time. Target: their p99 changes by less than 10 %, and the server's
memory stays bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import uvloop

from bench.machine import describe
from bench.servers import CLIENT_CORE, Launch, RunningServer, Workload, free_port, launch, prepare_process, running
from sensorcast.loadtest.connection import Connection, Target, connect

SETTLING_S = 3.0
IN_FLIGHT = 50


@dataclass(frozen=True)
class Part:
    """One stretch of the measurement."""

    delays_ms: list[float]
    rss_bytes: int

    def percentile_ms(self, share: float) -> float:
        return self.delays_ms[round(share * (len(self.delays_ms) - 1))]


class Measurement:
    """Feeds, counts and stalls on one event loop."""

    def __init__(self, server: RunningServer, plan: Launch, chosen: argparse.Namespace) -> None:
        self._server, self._plan, self._chosen = server, plan, chosen
        self._stalled: set[Connection] = set()
        self._delays_ms: list[float] | None = None
        self._sent_us = 0

    async def take(self) -> tuple[Part, Part]:
        """Connect everybody; measure, stall some, measure again."""
        token = str(msgspec.json.decode(self._plan.connect_payloads[0])["token"])
        target = Target("127.0.0.1", self._server.port, is_tls=False)
        free = asyncio.Semaphore(IN_FLIGHT)

        async def join() -> Connection:
            async with free:
                return await connect(target, token, self._arrived)

        connections = await asyncio.gather(*(join() for _ in range(self._chosen.clients)))
        feeding = asyncio.ensure_future(self._feed())
        before = await self._part()
        self._stalled.update(connections[: self._chosen.stalled])
        for connection in self._stalled:
            connection.stop_reading()
        after = await self._part()
        feeding.cancel()
        for connection in connections:
            connection.close()
        return before, after

    async def _part(self) -> Part:
        await asyncio.sleep(SETTLING_S)
        self._delays_ms = []
        await asyncio.sleep(self._chosen.seconds)
        delays_ms, self._delays_ms = self._delays_ms, None
        return Part(sorted(delays_ms), self._server.rss_bytes())

    def _arrived(self, connection: Connection, _payload: bytes) -> None:
        if self._delays_ms is not None and connection not in self._stalled:
            self._delays_ms.append(time.time() * 1e3 - self._sent_us / 1e3)

    async def _feed(self) -> None:
        headers = {"X-API-Key": self._plan.api_keys[0], "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._server.port}", headers=headers) as http:
            while True:
                await self._send(http)
                await asyncio.sleep(1.0 - time.time() % 1.0)

    async def _send(self, http: httpx.AsyncClient) -> None:
        self._sent_us = time.time_ns() // 1_000
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._sent_us / 1e6)) + f".{self._sent_us % 10**6:06d}Z"
        metrics = {f"{number:_>40}": number for number in range(10)}
        readings = [
            {"unitId": f"u{unit}", "recordedAt": text, "metrics": metrics} for unit in range(self._chosen.units)
        ]
        (
            await http.post("/api/ingest/readings", content=msgspec.json.encode({"readings": readings}))
        ).raise_for_status()


def counters(port: int) -> list[str]:
    names = ("sensorcast_batches_conflated_total", "sensorcast_clients_cut_total", "sensorcast_outbound_unsent_bytes")
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return [line for line in lines if line.startswith(names)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--stalled", type=int, default=100)
    parser.add_argument("--units", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each of the two parts")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop"), flush=True)
    prepare_process(CLIENT_CORE)
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder_name:
        folder, port = Path(folder_name), free_port()
        plan = launch("sensorcast", Workload(1, chosen.clients, chosen.units), port=port, folder=folder, event_bytes=0)
        with running(plan, port=port, folder=folder) as server:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                before, after = runner.run(Measurement(server, plan, chosen).take())
            lines = counters(port)
    print(f"\n{'':<34}{'batches':>10}{'p50':>11}{'p99':>11}{'max':>11}{'RSS':>12}")
    for what, part in (("all read", before), (f"{chosen.stalled} of them have stopped reading", after)):
        cells = "".join(f"{part.percentile_ms(share):>8.1f} ms" for share in (0.5, 0.99, 1.0))
        print(f"{what:<34}{len(part.delays_ms):>10,}{cells}{part.rss_bytes / 2**20:>8.1f} MiB")
    change = after.percentile_ms(0.99) / before.percentile_ms(0.99) - 1
    print(f"  p99 of those who read on changed by {change:+.1%}", *lines, sep="\n  ")


if __name__ == "__main__":
    sys.exit(main())
