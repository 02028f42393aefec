"""Readings of one unit that come in at two nodes reach every client in order, and wait for nobody for long."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sensorcast.broadcaster import SensorStreamService
from sensorcast.hub import Hub
from sensorcast.model import Room
from sensorcast.stream.rates import Mode, Rate, in_use_room
from tests.broadcasting import Dashboard, service_of
from tests.support.cluster import FLUSH_S, Cluster, ClusterNode, in_virtual_time, now

UNITS = ("u1", "u2")
BUS_MS = 40
DELIVERY_MS = 100
"""Together below what `hold_back_s` leaves beside the forwarding interval."""


class Clients:
    """Those of one node: two that follow the organization, at the full and at half the rate, and one for each unit."""

    def __init__(self, node: ClusterNode) -> None:
        self.node = node
        self.came_in_s: dict[str, float] = {}
        self.waited_s: dict[str, float] = {}
        self.noted = 0
        hub = Hub()
        owner = now(node.cluster)
        room, half = Room.organization(owner), Rate(2, Mode.ALL)
        self.everything = Dashboard(hub, room, then=self._note)
        self.at_half_rate = Dashboard(hub, half.room(room), in_use_room(half, room))
        self.units = [Dashboard(hub, Room.unit(owner, each)) for each in UNITS]
        self.service: SensorStreamService = service_of(hub, flush_interval_s=FLUSH_S, stream=node.stream)

    def ingest(self, reading: Any) -> None:
        """Let the node take a reading in now."""
        self.came_in_s[reading.id] = asyncio.get_running_loop().time()
        self.node.ingest(reading)

    def _note(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for batch in self.everything.batches[self.noted :]:
            for each in batch["readings"]:
                if each["id"] in self.came_in_s:
                    self.waited_s[each["id"]] = now_s - self.came_in_s[each["id"]]
        self.noted = len(self.everything.batches)

    def assert_once_and_in_order(self, sent: dict[str, list[str]]) -> None:
        """Each of them got each reading once, oldest first, and none is called late."""
        single = zip(self.units, [(each,) for each in UNITS], strict=True)
        for client, units in ((self.everything, UNITS), (self.at_half_rate, UNITS), *single):
            for unit_id in units:
                batches = [each for each in client.batches if each["unitId"] == unit_id]
                readings = [one for each in batches for one in each["readings"]]
                assert [each["id"] for each in readings] == sent[unit_id]
                times = [each["recordedAt"] for each in readings]
                assert all(one < two for one, two in pairwise(times))
                assert not any("late" in each for each in readings)
            assert Counter(client.ids) == Counter(each for unit_id in units for each in sent[unit_id])


async def clients_of_two_nodes(cluster: Cluster, apart_s: float) -> tuple[Clients, Clients, dict[str, list[str]]]:
    """Clients of nodes whose ticks are `apart_s` apart, and that have heard of each other's readings of all units."""
    one, two = Clients(await cluster.add()), Clients(await cluster.add())
    one.service.start()
    await asyncio.sleep(apart_s)
    two.service.start()
    sent: dict[str, list[str]] = {each: [] for each in UNITS}
    for clients in (one, two):
        for unit_id in UNITS:
            clients.ingest(each := now(cluster, unit_id))
            sent[unit_id].append(each.id)
        await asyncio.sleep(2.5)
    return one, two, sent


async def send(cluster: Cluster, nodes: list[Clients], steps: list[Step], sent: dict[str, list[str]]) -> None:
    """Measure after each pause; the reading comes in at the next node in turn, when its delivery took its time."""
    loop = asyncio.get_running_loop()
    for number, (unit_id, pause_ms, delivery_ms) in enumerate(steps):
        await asyncio.sleep(pause_ms / 1_000)
        each = now(cluster, unit_id)
        sent[unit_id].append(each.id)
        loop.call_later(delivery_ms / 1_000, nodes[number % len(nodes)].ingest, each)
    await asyncio.sleep(6)


Step = tuple[str, int, int]
steps_of_gateways = st.lists(
    st.tuples(st.sampled_from(UNITS), st.integers(1, 700), st.integers(0, DELIVERY_MS)), min_size=1, max_size=40
)


@given(steps_of_gateways, st.integers(0, 999), st.integers(0, BUS_MS))
def test_gateways_that_alternate_between_nodes_are_seen_in_order_by_every_client_of_both(
    steps: list[Step], apart_ms: int, bus_ms: int
) -> None:
    @in_virtual_time
    async def run(cluster: Cluster) -> None:
        cluster.air.delay_s = bus_ms / 1_000
        one, two, sent = await clients_of_two_nodes(cluster, apart_ms / 1_000)
        await send(cluster, [one, two], steps, sent)
        for clients in (one, two):
            clients.assert_once_and_in_order(sent)
            assert max(clients.waited_s.values()) <= 2 * FLUSH_S
            await clients.service.stop()

    run()


@given(steps_of_gateways, st.integers(0, 999), st.integers(0, 3_000))
def test_whether_or_not_the_bus_lives_nothing_waits_longer_than_one_interval_more(
    steps: list[Step], apart_ms: int, more_ms: int
) -> None:
    @in_virtual_time
    async def run(cluster: Cluster) -> None:
        one, two, sent = await clients_of_two_nodes(cluster, apart_ms / 1_000)
        two.node.bus.cut()
        out_of_order = [(unit_id, pause_ms, ms * more_ms // DELIVERY_MS) for unit_id, pause_ms, ms in steps]
        await send(cluster, [one, two], out_of_order, sent)
        for clients in (one, two):
            assert clients.waited_s.keys() == clients.came_in_s.keys()
            assert max(clients.waited_s.values()) <= 2 * FLUSH_S
            await clients.service.stop()

    run()
