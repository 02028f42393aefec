"""Nodes of one cluster in one process: a relay and a stream each, one store in memory, a bus that may fail.

Run them in virtual time (`tests.broadcasting.run_in_virtual_time`): seconds of beats take no time then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from sensorcast.cluster.nodes import Node
from sensorcast.cluster.pace import hold_back_s
from sensorcast.cluster.relay import Relay
from sensorcast.metrics import REGISTRY
from sensorcast.model import Reading
from sensorcast.stream import SensorStream
from sensorcast.wire.bus import BusCodec, derive_key
from tests.broadcasting import run_in_virtual_time
from tests.readings import T0_S, reading
from tests.support.air import Air

SECRET = b"a secret of more than thirty-two bytes"
CODEC = BusCodec(derive_key(SECRET, "test"))
FLUSH_S = 1.0
MESSAGE_AGE_S = 60.0


class MemoryStore:
    """The latest reading of every unit, by organization."""

    def __init__(self) -> None:
        self.latest: dict[tuple[str, str], Reading] = {}
        self.pages_read = 0
        self.failures_left = 0
        self.slow_s = 0.0

    def append(self, stored: Reading) -> None:
        known = self.latest.get(stored.unit_key)
        order = (stored.recorded_at_us, stored.device_id or "")
        if known is None or order > (known.recorded_at_us, known.device_id or ""):
            self.latest[stored.unit_key] = stored

    async def units(self, organization_id: str, *, after: str | None, limit: int) -> list[Reading]:
        self.pages_read += 1
        page = sorted(key for key in self.latest if key[0] == organization_id and key[1] > (after or ""))[:limit]
        found = [self.latest[key] for key in page]
        await asyncio.sleep(self.slow_s)
        if self.failures_left:
            self.failures_left -= 1
            raise OSError("the store is busy")
        return found


class ClusterNode:
    """One node; `flushed` is what its clients would have got, `notices` what they were told."""

    def __init__(self, cluster: Cluster, name: str, *, echoes: bool, codec: BusCodec) -> None:
        self.cluster = cluster
        self.stream = SensorStream(hold_back_s=hold_back_s(FLUSH_S), now_s=asyncio.get_running_loop().time)
        self.flushed: list[Reading] = []
        self.notices: list[tuple[str, str]] = []
        self.bus = cluster.air.bus(echoes=echoes)
        self.relay = Relay(
            self.bus,
            self.stream,
            cluster.store,
            codec,
            own=Node(name=name, origin=f"origin of {name}", since_us=round(cluster.now_s() * 1e6), is_self=True),
            flush_interval_s=FLUSH_S,
            queue_max_bytes=1024 * 1024,
            silence_s=3.0,
            message_age_s=MESSAGE_AGE_S,
            clock_s=cluster.now_s,
            on_degraded=lambda organization_id, _since: self.notices.append(("degraded", organization_id)),
            on_restored=lambda organization_id, _until: self.notices.append(("restored", organization_id)),
        )

    def ingest(self, *readings: Reading) -> None:
        """Store readings and take them in, as the pipeline does."""
        for each in readings:
            self.cluster.store.append(each)
            self.relay.add_readings(each.organization_id, [each])

    def flush(self) -> list[Reading]:
        """Take all that is buffered; give it."""
        drained = [
            one for each in self.stream.drain(last=True).values() for unit in each.units.values() for one in unit
        ]
        self.flushed += drained
        return drained

    def latest(self, organization_id: str = "acme") -> dict[tuple[str, str], Reading]:
        """What `get:latest:all` would answer."""
        return {each.unit_key: each for each in self.stream.latest_of(organization_id)}


class Cluster:
    """All nodes. Use as an async context manager: the nodes that were added are stopped at the end."""

    def __init__(self) -> None:
        self.air = Air()
        self.store = MemoryStore()
        self.nodes: list[ClusterNode] = []

    def now_s(self) -> float:
        """Seconds since 1970, as the loop's time goes by."""
        return T0_S + asyncio.get_running_loop().time()

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            await node.relay.stop()

    async def add(self, *, follows: str | None = "acme", echoes: bool = True, codec: BusCodec = CODEC) -> ClusterNode:
        """Start another node, which follows an organization from then on; its snapshot is read."""
        node = ClusterNode(self, f"node-{len(self.nodes)}", echoes=echoes, codec=codec)
        self.nodes.append(node)
        await node.relay.start()
        if follows is not None:
            node.relay.follow(follows)
        await asyncio.sleep(0.01)
        return node


def in_virtual_time(test: Callable[[Cluster], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Give the test a cluster, and let its time pass in no time."""

    @wraps(test)
    def run() -> None:
        async def with_cluster() -> None:
            async with Cluster() as cluster:
                await test(cluster)

        run_in_virtual_time(with_cluster())

    del run.__wrapped__  # type: ignore[attr-defined]  # or pytest would look for a fixture
    return run


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"sensorcast_bus_{name}_total", labels) or 0.0


def now(cluster: Cluster, unit_id: str = "u1", **fields: Any) -> Reading:
    """A reading of this moment."""
    at_us = round(asyncio.get_running_loop().time() * 1e6)
    return reading(unit_id, at_us, **{"received_at_us": round(cluster.now_s() * 1e6)} | fields)


async def forwarded() -> None:
    """Let one forwarding interval pass."""
    await asyncio.sleep(0.3)
