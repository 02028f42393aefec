"""What a connection costs to which nothing is sent: memory, and its heartbeats."""

from __future__ import annotations

import msgspec

from bench.fanout.measure import window
from bench.servers import Workload
from bench.session import session
from sensorcast.settings import Settings

CONNECTIONS = 4_000
HEARTBEAT_S = 5.0
"""Five times as often as usual, so that a short window has whole rounds of heartbeats."""


class Idle(msgspec.Struct, frozen=True):
    """Of one connection."""

    rss_kib: float
    heartbeat_us: float
    connect_us: float

    @property
    def cpu_us_per_s(self) -> float:
        """With the heartbeats of the default settings."""
        return self.heartbeat_us / (Settings().ping_interval_ms / 1_000)


def measure_idle(rounds: int, connections: int = CONNECTIONS) -> Idle:
    """Compare one connection with many, for so many rounds of heartbeats."""
    seconds = rounds * HEARTBEAT_S
    environment = {"SENSORCAST_PING_INTERVAL_MS": str(round(HEARTBEAT_S * 1_000))}
    used_us = []
    for count in (1, connections):
        with session("sensorcast", Workload(1, count, 0), environment=environment) as run:
            first, last = window(run.server, seconds, warm_up_s=0)
            used_us.append((last.cpu_ns - first.cpu_ns) / 1e3 / ((last.at_us - first.at_us) / 1e6) * HEARTBEAT_S)
    return Idle(run.rss_kib_resting, (used_us[1] - used_us[0]) / (connections - 1), run.cpu_us_per_connect)
