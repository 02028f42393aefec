"""One server under the load of the fan-out suite, with a bus to nobody or with Redis, and what Redis does meanwhile."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.fanout.feeder import feeding
from bench.fanout.measure import arrived_within, window
from bench.redis_server import RedisUse, redis_server, sample
from bench.servers import Workload, wake_ups
from bench.session import session
from tests.support.redis import RedisServer


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one server needed within the window, and its Redis, if it had one."""

    events: int
    cpu_ms_per_s: float
    cpu_us_per_event: float
    wake_ups_per_s: float
    """Of all its threads."""
    redis_cpu_ms_per_s: float = 0.0
    messages_per_s: float = 0.0
    """Published: readings and beats."""
    bytes_in_per_s: float = 0.0
    bytes_out_per_s: float = 0.0
    """What Redis sends: the node hears its own messages when clients of the organization are on it."""
    lost_connections: int


def measure(workload: Workload, *, with_redis: bool, seconds: float) -> Result:
    """Start a server, and a Redis if it is to have one, run the workload against it, stop both."""
    with _bus(with_redis) as redis:
        environment = {"SENSORCAST_REDIS_URL": redis.url} if redis is not None else {}
        with session("sensorcast", workload, environment=environment) as run:
            with feeding(run.server, workload, run.plan.api_keys):
                before = sample(redis) if redis is not None else None
                woken, since_s = wake_ups(run.server.process.pid), time.monotonic()
                first, last = window(run.server, seconds)
                wake_ups_per_s = (wake_ups(run.server.process.pid) - woken) / (time.monotonic() - since_s)
                after = sample(redis) if redis is not None else None
            totals, arrivals = run.clients.finish()
    events = len(arrived_within(arrivals, first, last))
    window_s = (last.at_us - first.at_us) / 1e6
    use = RedisUse(before, after) if before is not None and after is not None else None
    return Result(
        events=events,
        cpu_ms_per_s=(last.cpu_ns - first.cpu_ns) / 1e6 / window_s,
        cpu_us_per_event=(last.cpu_ns - first.cpu_ns) / 1e3 / max(1, events),
        wake_ups_per_s=wake_ups_per_s,
        redis_cpu_ms_per_s=use.cpu_us / 1e3 / use.seconds if use else 0.0,
        messages_per_s=use.published / use.seconds if use else 0.0,
        bytes_in_per_s=use.in_bytes / use.seconds if use else 0.0,
        bytes_out_per_s=use.out_bytes / use.seconds if use else 0.0,
        lost_connections=run.clients.joined.failed + totals.closed,
    )


@contextlib.contextmanager
def _bus(with_redis: bool) -> Iterator[RedisServer | None]:
    if not with_redis:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sensorcast-bench-") as folder, redis_server(Path(folder)) as redis:
        yield redis
