"""Do clients that stop reading harm the others, or the server? 1,000 clients, 100 of which stop reading.

First all of them read, then 100 stop, and when the server has to conflate for all of these, the same time goes by
again. Delays are those of the clients that read on, from flush to arrival. The 100 have small buffers, as behind a
slow link, and the server is told not to cut them, so that they stay slow as long as it takes. Target: the p99 of the
others changes by less than 10 %, and the server's memory stays bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import socket
import sys
import tempfile
import time
from pathlib import Path

import httpx
import msgspec
import uvloop

from bench.fanout.feeder import feeding
from bench.fanout.measure import flush_times
from bench.load import Arrivals, connected
from bench.machine import describe
from bench.servers import CLIENT_CORE, Launch, RunningServer, Workload, free_port, launch, prepare_process, running
from sensorcast.loadtest.connection import Connection, Target

SETTLING_S = 3.0
SLOW_DEADLINE_S = 180.0
SEGMENT_BYTES = 1_400
"""Of a link that is no loopback: with its segments of 64 KiB, the kernel would keep 2.5 MB for each client."""
RECEIVE_BUFFER_BYTES = 4_096


@dataclasses.dataclass(frozen=True)
class Part:
    """One stretch of the measurement."""

    from_us: int
    to_us: int
    rss_bytes: int
    cpu_share: float

    def delays_ms(self, arrivals: Arrivals, server: RunningServer, workload: Workload) -> list[float]:
        """From flush to arrival, in order of size."""
        started_at = flush_times(server, arrivals, workload)
        pairs = zip(arrivals.seqs, arrivals.times_us, strict=True)
        return sorted(
            (at_us - started_at(seq, at_us)) / 1e3 for seq, at_us in pairs if self.from_us <= at_us < self.to_us
        )


async def take(server: RunningServer, token: str, chosen: argparse.Namespace) -> tuple[Part, Part]:
    """Let everybody read for a while; then let some stop, and go on."""
    target = Target("127.0.0.1", server.port, is_tls=False)
    slow = [await join(target, token) for _ in range(chosen.stalled)]
    await asyncio.sleep(SETTLING_S)
    before = await part(server, chosen.seconds)
    for connection in slow:
        connection.stop_reading()
    await until_slow(server.port, chosen.stalled)
    after = await part(server, chosen.seconds)
    for connection in slow:
        connection.close()
    return before, after


async def join(target: Target, token: str) -> Connection:
    """Connect with small buffers."""
    loop, client = asyncio.get_running_loop(), socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    client.setblocking(False)
    await loop.sock_connect(client, (target.host, target.port))
    _, connection = await loop.create_connection(lambda: Connection(target, token, lambda *_: None), sock=client)
    await connection.joined
    return connection


async def part(server: RunningServer, seconds: float) -> Part:
    from_us, cpu_ns = time.time_ns() // 1_000, server.cpu_ns()
    await asyncio.sleep(seconds)
    return Part(from_us, time.time_ns() // 1_000, server.rss_bytes(), (server.cpu_ns() - cpu_ns) / 1e9 / seconds)


async def until_slow(port: int, count: int) -> None:
    """Wait until so many connections are conflated."""
    wanted = f"sensorcast_connections_slow {float(count)}"
    async with asyncio.timeout(SLOW_DEADLINE_S):
        while wanted not in await asyncio.to_thread(counters, port):
            await asyncio.sleep(1.0)


def counters(port: int) -> list[str]:
    names = (
        "sensorcast_batches_conflated_total", "sensorcast_clients_cut_total", "sensorcast_connections_slow",
        "sensorcast_outbound_unsent_bytes",
    )  # fmt: skip
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return [line for line in lines if line.startswith(names)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--stalled", type=int, default=100)
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each of the two parts")
    return parser.parse_args()


def run(chosen: argparse.Namespace, plan: Launch, port: int, folder: Path) -> None:
    reading = Workload(1, chosen.clients - chosen.stalled, chosen.units)
    with (
        running(plan, port=port, folder=folder) as server,
        connected(reading, plan, port=port, folder=folder) as clients,
        feeding(server, reading, plan.api_keys),
    ):
        token = str(msgspec.json.decode(plan.connect_payloads[0])["token"])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            before, after = runner.run(take(server, token, chosen))
        lines = counters(port)
        totals, arrivals = clients.finish()
        p99_ms = []
        print(f"\n{'':<34}{'batches':>10}{'p50':>11}{'p99':>11}{'max':>11}{'RSS':>12}{'CPU':>8}")
        for what, each in (("all read", before), (f"{chosen.stalled} of them do not", after)):
            delays_ms = each.delays_ms(arrivals, server, reading)
            percentiles = [delays_ms[round(share * (len(delays_ms) - 1))] for share in (0.5, 0.99, 1.0)]
            cells = "".join(f"{value:>8.1f} ms" for value in percentiles)
            print(f"{what:<34}{len(delays_ms):>10,}{cells}{each.rss_bytes / 2**20:>8.1f} MiB{each.cpu_share:>8.1%}")
            p99_ms.append(percentiles[1])
    change = p99_ms[1] / p99_ms[0] - 1
    print(f"  p99 of those who read on changed by {change:+.1%}; {totals.closed} of them were lost", *lines, sep="\n  ")


def main() -> None:
    chosen = arguments()
    print(__doc__)
    print(describe("sensorcast", "uvicorn", "uvloop", programs=("cc",)), flush=True)
    prepare_process(CLIENT_CORE)
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder_name:
        folder, port = Path(folder_name), free_port()
        plan = launch("sensorcast", Workload(1, chosen.clients, chosen.units), port=port, folder=folder, event_bytes=0)
        # Who reads nothing answers no ping either.
        patient = {**plan.environment, "SENSORCAST_OUTBOUND_STALL_S": "3600", "SENSORCAST_PING_INTERVAL_MS": "3600000"}
        run(chosen, dataclasses.replace(plan, environment=patient), port, folder)


if __name__ == "__main__":
    sys.exit(main())
