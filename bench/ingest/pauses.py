"""How long the largest bodies hold up everybody else: `python -m bench.ingest.pauses`.

Bodies of 10,000 readings, 8 MiB when inflated, come one after another, while another client asks for `/healthz` all the
time: whatever holds up the event loop is in the time it waits.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import tempfile
import time
from pathlib import Path

import msgspec

from bench.ingest.__main__ import product
from bench.machine import describe
from bench.servers import CLIENT_CORE
from sensorcast.model import format_time

BODIES = 20
READINGS = 10_000
METRICS = 22
BETWEEN_S = 0.002


def body(start_us: int) -> bytes:
    items = [
        {
            "unitId": f"unit-{number % 200}",
            "recordedAt": format_time(start_us + number),
            "temperature": 21.5,
            "metrics": {f"metric-{place:02}-of-this-device": number % 9_973 / 10 + place for place in range(METRICS)},
        }
        for number in range(READINGS)
    ]
    return msgspec.json.encode({"readings": items})


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bytes, float]:
    """Give the status line of the answer, and how long it took."""
    started_s = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return head.partition(b"\r\n")[0], time.perf_counter() - started_s


async def watch(port: int, waits_s: list[float]) -> None:
    streams = await asyncio.open_connection("127.0.0.1", port)
    while True:
        waits_s.append((await ask(*streams, b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"))[1])
        await asyncio.sleep(BETWEEN_S)


async def measure(port: int, key: str) -> None:
    start_us = time.time_ns() // 1_000 - 3_600_000_000
    sent = [gzip.compress(body(start_us + number * READINGS), 6) for number in range(BODIES)]
    waits_s: list[float] = []
    watching = asyncio.create_task(watch(port, waits_s))
    await asyncio.sleep(1)
    quiet_s = sorted(waits_s)
    waits_s.clear()
    streams = await asyncio.open_connection("127.0.0.1", port)
    took_s: list[float] = []
    for each in sent:
        head = f"POST /api/ingest/readings HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\nContent-Encoding: gzip\r\n"
        status, seconds = await ask(*streams, f"{head}Content-Length: {len(each)}\r\n\r\n".encode() + each)
        assert status.startswith(b"HTTP/1.1 200"), status
        took_s.append(seconds)
    watching.cancel()
    waits_s.sort()
    print(
        f"a body     {READINGS:,} readings, {len(body(start_us)) / 2**20:.1f} MiB, {len(sent[0]) / 2**20:.2f} as gzip"
    )
    print(
        f"one body   {1e3 * sorted(took_s)[BODIES // 2]:.0f} ms to its answer, the slowest {1e3 * max(took_s):.0f} ms"
    )
    print(
        f"/healthz   p50 {1e3 * waits_s[len(waits_s) // 2]:.1f} ms, the longest waits "
        + ", ".join(f"{1e3 * wait_s:.0f}" for wait_s in waits_s[:-6:-1])
        + f" ms; without bodies at most {1e3 * quiet_s[-1]:.0f} ms"
    )


def main() -> None:
    os.sched_setaffinity(0, {CLIENT_CORE})
    print(describe("sensorcast", "uvloop", "msgspec", "apsw"))
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder, product(Path(folder)) as (server, key):
        asyncio.run(measure(server.port, key))


if __name__ == "__main__":
    main()
