"""One server under one workload: connect everybody, let it stream, and take the numbers of a window of flushes."""

from __future__ import annotations

import bisect
import contextlib
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from bench.fanout.feeder import feeding
from bench.load import Arrivals
from bench.servers import RunningServer, Workload
from bench.session import session

WARM_UP_S = 6.0
"""Peers begin three seconds after the last connection; two flushes more, and code and buffers are warm."""
IDLE_S = 0.05
IDLE_CPU_NS = 2_000_000
IDLE_DEADLINE_S = 3.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one server needed for one workload."""

    server: str
    workload: str
    events: int
    cpu_us_per_event: float
    events_per_s: float
    offered_events_per_s: int
    connects_per_s: float
    cpu_us_per_connect: float
    rss_kib_resting: float
    """Resident memory per connection when all are connected, before anything is sent."""
    rss_kib_streaming: float
    """The same at the end of the measured window."""
    delivery_ms: dict[str, float]
    """From the start of the flush to the arrival at the client: p50, p99, max."""
    bytes_per_event: float
    lost_connections: int
    out_of_order: int


class Sample(msgspec.Struct, frozen=True):
    """What a server has used by some moment."""

    at_us: int
    cpu_ns: int


def measure(name: str, workload: Workload, *, seconds: float, event_bytes: int) -> Result:
    """Start a server, run the workload against it, stop it. `event_bytes` is the size of the floor's events."""
    with session(name, workload, event_bytes=event_bytes) as run:
        api_keys = run.plan.api_keys
        with feeding(run.server, workload, api_keys) if api_keys else contextlib.nullcontext():
            first, last = window(run.server, seconds)
        rss_kib_streaming = run.rss_kib()
        totals, arrivals = run.clients.finish()
        started_at = flush_times(run.server, arrivals, workload) if api_keys else _seq_is_time
        inside = arrived_within(arrivals, first, last)
        return Result(
            server=name,
            workload=str(workload),
            events=len(inside),
            cpu_us_per_event=(last.cpu_ns - first.cpu_ns) / 1e3 / max(1, len(inside)),
            events_per_s=len(inside) / (last.at_us - first.at_us) * 1e6,
            offered_events_per_s=workload.events_per_flush,
            connects_per_s=run.connects_per_s,
            cpu_us_per_connect=run.cpu_us_per_connect,
            rss_kib_resting=run.rss_kib_resting,
            rss_kib_streaming=rss_kib_streaming,
            delivery_ms=_percentiles_ms([at_us - started_at(seq, at_us) for seq, at_us in inside]),
            bytes_per_event=totals.bytes / max(1, totals.events),
            lost_connections=run.clients.joined.failed + totals.closed,
            out_of_order=totals.out_of_order,
        )


def window(server: RunningServer, seconds: float, *, warm_up_s: float = WARM_UP_S) -> tuple[Sample, Sample]:
    """Two samples about `seconds` apart, both between two flushes where the server rests between them."""
    time.sleep(warm_up_s)
    first = idle_sample(server)
    time.sleep(seconds - IDLE_S)
    return first, idle_sample(server)


def idle_sample(server: RunningServer) -> Sample:
    """Wait until the server rests between two flushes, if it does, and look."""
    deadline_s = time.monotonic() + IDLE_DEADLINE_S
    before_ns = server.cpu_ns()
    while True:
        time.sleep(IDLE_S)
        now_ns = server.cpu_ns()
        if now_ns - before_ns < IDLE_CPU_NS or time.monotonic() > deadline_s:
            return Sample(time.time_ns() // 1_000, now_ns)
        before_ns = now_ns


def arrived_within(arrivals: Arrivals, first: Sample, last: Sample) -> list[tuple[int, int]]:
    """Give `seq` and time of every event that arrived between two samples."""
    start = bisect.bisect_left(arrivals.times_us, first.at_us)
    end = bisect.bisect_left(arrivals.times_us, last.at_us)
    return list(zip(arrivals.seqs[start:end], arrivals.times_us[start:end], strict=True))


def _seq_is_time(seq: int, _at_us: int) -> int:
    return seq


def flush_times(server: RunningServer, arrivals: Arrivals, workload: Workload) -> Callable[[int, int], int]:
    """How to find the start of the flush that a batch of sensorcast was in, by its number and its arrival.

    Batches of one organization are numbered in order. Those of several are not told apart here, and taken for the last
    flush before they arrived: exact as long as delays are below a second.
    """
    first_seqs, starts_us = [], []
    seq = min(arrivals.seqs, default=0)
    for line in server.flush_lines():
        ended_us = datetime.fromisoformat(str(line["timestamp"])).timestamp() * 1e6
        first_seqs.append(seq)
        starts_us.append(round(ended_us - float(str(line["duration_ms"])) * 1e3))
        seq += int(str(line["units"]))
    if workload.organizations == 1:
        return lambda seq, at_us: starts_us[bisect.bisect_right(first_seqs, seq) - 1]
    return lambda seq, at_us: starts_us[max(0, bisect.bisect_right(starts_us, at_us) - 1)]


def _percentiles_ms(delays_us: list[int]) -> dict[str, float]:
    ordered = sorted(delays_us) or [0]
    last = len(ordered) - 1
    return {name: ordered[round(last * share)] / 1e3 for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
