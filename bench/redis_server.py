"""A Redis of a measurement's own, on the clients' core, and what it has done so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.servers import cpu_ns
from tests.support.redis import RedisServer


class RedisSample(msgspec.Struct, frozen=True):
    """Counts of one Redis since its start."""

    at_s: float
    cpu_ns: int
    published: int
    """Messages that somebody published."""
    in_bytes: int
    out_bytes: int


@dataclass(frozen=True)
class RedisUse:
    """What a Redis did between two samples."""

    first: RedisSample
    last: RedisSample

    @property
    def seconds(self) -> float:
        return self.last.at_s - self.first.at_s

    @property
    def cpu_us(self) -> float:
        return (self.last.cpu_ns - self.first.cpu_ns) / 1e3

    @property
    def published(self) -> int:
        return self.last.published - self.first.published

    @property
    def in_bytes(self) -> int:
        return self.last.in_bytes - self.first.in_bytes

    @property
    def out_bytes(self) -> int:
        return self.last.out_bytes - self.first.out_bytes


def sample(redis: RedisServer) -> RedisSample:
    """Look at a Redis. It does not count what comes over the bus of a cluster."""
    assert redis.process is not None
    stats = redis.command("INFO", "stats")
    commands = redis.command("INFO", "commandstats")
    return RedisSample(
        at_s=time.monotonic(),
        cpu_ns=cpu_ns(redis.process.pid),
        published=sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("publish", "spublish")),
        in_bytes=stats["total_net_input_bytes"],
        out_bytes=stats["total_net_output_bytes"],
    )


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run a Redis; it stays on the core of whoever starts it."""
    redis = RedisServer(folder / "redis").start()
    try:
        yield redis
    finally:
        redis.stop()
