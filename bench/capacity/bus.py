"""What the bus costs: a node that hears readings of another one, and Redis for each message and each byte."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import msgspec
import redis

from bench.capacity.fit import fit
from bench.fanout.measure import Sample, idle_sample
from bench.ingest.workload import bodies, readings
from bench.redis_server import RedisUse, redis_server, sample
from bench.servers import RunningServer, Workload
from bench.session import session
from sensorcast.cluster import Ears
from sensorcast.cluster.joining import bus_codec, open_bus
from sensorcast.cluster.relay import channel_of
from sensorcast.cluster.worker import Worker
from sensorcast.model import Reading
from sensorcast.settings import Settings
from tests.support.redis import RedisServer

RATES = (1_000, 5_000, 20_000)
"""Readings a second of the other node."""
MESSAGES_PER_S = 4
ORGANIZATION = "org-0"
UNITS = 200
WARM_UP_S = 2.0
MESSAGES = {500: 30_000, 50_000: 3_000}
"""Messages sent to Redis alone, by their size in bytes: one reading, and about a hundred."""
SUBSCRIBERS = 3


class Heard(msgspec.Struct, frozen=True):
    """What a node pays for readings of another one."""

    reading_us: float
    """Checked, decoded, buffered, and encoded into the batch of its unit; one client gets it."""
    bytes_per_reading: float


class Redis(msgspec.Struct, frozen=True):
    """What Redis pays."""

    message_us: float
    delivery_us: float
    """A message to one subscriber."""
    in_byte_us: float
    out_byte_us: float


def measure_heard(seconds: float) -> Heard:
    """Play another node on the bus at growing rates; what comes on top is what a reading costs."""
    secret = secrets.token_hex(16)
    with _folder() as folder, redis_server(folder) as server:
        environment = {"SENSORCAST_REDIS_URL": server.url, "SENSORCAST_CLUSTER_SECRET": secret}
        with session("sensorcast", Workload(1, 1, 0), environment=environment) as run:
            spans, bytes_per_reading = [], 0.0
            for rate in RATES:
                before = sample(server)
                first, last, sent = asyncio.run(_play_node(server.url, secret, rate, seconds, run.server))
                bytes_per_reading = RedisUse(before, sample(server)).in_bytes / sent
                spans.append((last.cpu_ns - first.cpu_ns) / 1e3 / ((last.at_us - first.at_us) / 1e6))
    _, reading_us = fit([(1.0, rate) for rate in RATES], spans)
    return Heard(reading_us, bytes_per_reading)


async def _play_node(
    url: str, secret: str, rate: int, seconds: float, server: RunningServer
) -> tuple[Sample, Sample, int]:
    """Publish readings as a node does, and look at the server from when it is warm until the end."""
    settings = Settings(redis_url=url)
    bus, codec = open_bus(settings, Worker()), bus_codec(settings, secret.encode())
    stored = islice(cycle(readings(bodies(UNITS, 1))), rate // MESSAGES_PER_S)
    message = list(stored)
    await bus.start(_Deaf())
    origin, epoch, channel = secrets.token_hex(8), time.time_ns() // 1_000, channel_of(ORGANIZATION)
    looking: asyncio.Task[tuple[Sample, Sample]] = asyncio.create_task(asyncio.to_thread(_look, server, seconds))
    due_s, seq = time.monotonic(), 0
    while not looking.done():
        seq += 1
        for encoded in codec.encode_readings(
            [_now(each, number) for number, each in enumerate(message)],
            channel=channel,
            origin=origin,
            epoch=epoch,
            sent_us=time.time_ns() // 1_000,
            number=lambda seq=seq: (seq, 250 if seq > 1 else None),  # type: ignore[misc]
        ):
            assert encoded is not None
            bus.publish(channel, encoded)
        due_s += 1 / MESSAGES_PER_S
        await asyncio.sleep(due_s - time.monotonic())
    await bus.stop()
    first, last = await looking
    return first, last, seq * len(message)


def _now(reading: Reading, number: int) -> Reading:
    now_us = time.time_ns() // 1_000 + number
    return msgspec.structs.replace(reading, recorded_at_us=now_us, received_at_us=now_us)


def _look(server: RunningServer, seconds: float) -> tuple[Sample, Sample]:
    time.sleep(WARM_UP_S)
    first = idle_sample(server)
    time.sleep(seconds)
    return first, idle_sample(server)


class _Deaf(Ears):
    """Nothing that is said concerns the node that is played."""

    def heard(self, channel: str, message: bytes) -> None:
        pass

    def listening(self, channel: str) -> None:
        pass

    def deaf(self, reason: str) -> None:
        raise AssertionError(reason)


def measure_redis() -> Redis:
    """Publish small and large messages to nobody and to a few, as fast as Redis takes them."""
    rows, used_us = [], []
    with _folder() as folder, redis_server(folder) as server:
        for size_bytes, count in MESSAGES.items():
            for subscribers in (0, SUBSCRIBERS):
                use = _publish(server, size_bytes, count, subscribers)
                rows.append((count, count * subscribers, count * size_bytes, count * subscribers * size_bytes))
                used_us.append(use.cpu_us)
    return Redis(*fit(rows, used_us))


def _publish(server: RedisServer, size_bytes: int, count: int, subscribers: int) -> RedisUse:
    message, pipelined = b"x" * size_bytes, 10
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(redis.Redis(port=server.port))
        for _ in range(subscribers):
            stack.enter_context(_subscriber(server.port))
        before = sample(server)
        for _ in range(count // pipelined):
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(pipelined):
                    pipeline.execute_command("SPUBLISH", "channel", message)
                assert pipeline.execute() == [subscribers] * pipelined
        return RedisUse(before, sample(server))


@contextlib.contextmanager
def _subscriber(port: int) -> Iterator[None]:
    """Listen to the channel and throw everything away."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"SSUBSCRIBE channel\r\n")
    connection.recv(1_000)
    thread = threading.Thread(target=_drain, args=(connection,))
    thread.start()
    try:
        yield
    finally:
        connection.shutdown(socket.SHUT_RDWR)
        thread.join()
        connection.close()


def _drain(connection: socket.socket) -> None:
    while connection.recv(1 << 20):
        pass


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as name:
        yield Path(name)
