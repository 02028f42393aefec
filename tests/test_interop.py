"""The exchange with Node's Redis adapter: what goes out, and what of theirs goes on to our sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from sensorcast.interop import READINGS_PER_BATCH, NodeExchange
from sensorcast.metrics import REGISTRY
from sensorcast.stream import SensorStream
from sensorcast.wire.redis_adapter import Broadcast, encode_broadcast
from tests.readings import reading as make_reading


class Channels:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[Sequence[str], Any]] = []

    async def start(self) -> None:
        self.published.clear()

    async def stop(self) -> None:
        self.published.append((["stopped"], None))

    def publish(self, rooms: Sequence[str], message: bytes) -> None:
        self.published.append((rooms, msgspec.msgpack.decode(message)))


class Node:
    """A stream with an exchange before it; notes what is published and what is emitted."""

    def __init__(self, interval_s: float = 60.0) -> None:
        self.channels = Channels()
        self.emitted: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.stream = SensorStream()
        self.exchange = NodeExchange(
            self.stream,
            channels=lambda _heard: self.channels,
            latest=self.stream.get_latest_reading,
            emit=lambda *args, **options: self.emitted.append((args, options)),
            interval_s=interval_s,
            max_readings=10_000,
            now_us=lambda: 1_000,
        )

    def batches(self) -> list[dict[str, Any]]:
        return [message[1]["data"][1] for _, message in self.channels.published]


@pytest.fixture
def node() -> Node:
    return Node()


def outcome(name: str) -> float:
    return REGISTRY.get_sample_value("sensorcast_adapter_messages_total", {"outcome": name}) or 0.0


def test_a_reading_goes_to_the_stream_and_to_node(node: Node) -> None:
    reading = make_reading(site_id="north")
    node.exchange.add_readings(reading.organization_id, [reading])
    node.exchange.flush()
    assert node.stream.get_latest_reading(*reading.unit_key) == reading
    ((rooms, message),) = node.channels.published
    organization, unit = reading.unit_key
    assert rooms == [f"org:{organization}", f"unit:{organization}:{unit}", f"site:{organization}:north"]
    assert message[1]["data"][0] == "sensor:readings:batch"
    assert message[1]["data"][1]["readings"][0]["id"] == reading.id


def test_readings_of_a_unit_are_one_sorted_batch_and_nothing_is_sent_twice(node: Node) -> None:
    readings = [make_reading(at_us=at_us) for at_us in (2_000_000, 3_000_000, 1_000_000)]
    for reading in readings:
        node.exchange.add_readings(reading.organization_id, [reading])
    node.exchange.flush()
    node.exchange.flush()
    (batch,) = node.batches()
    assert [item["id"] for item in batch["readings"]] == [readings[2].id, readings[0].id, readings[1].id]
    assert [item.get("late") for item in batch["readings"]] == [True, None, None]
    assert batch["count"] == 3


def test_many_readings_of_a_unit_come_in_several_broadcasts(node: Node) -> None:
    for number in range(READINGS_PER_BATCH + 1):
        reading = make_reading(at_us=number)
        node.exchange.add_readings(reading.organization_id, [reading])
    node.exchange.flush()
    assert [batch["count"] for batch in node.batches()] == [READINGS_PER_BATCH, 1]
    first, second = (batch["seq"] for batch in node.batches())
    assert first < second


async def test_what_waits_goes_out_once_an_interval_and_at_the_stop() -> None:
    node = Node(interval_s=0.01)
    reading = make_reading()
    await node.exchange.start()
    node.exchange.add_readings(reading.organization_id, [reading])
    async with asyncio.timeout(30):
        while not node.channels.published:
            await asyncio.sleep(0.005)
    node.exchange.add_readings(reading.organization_id, [make_reading(at_us=5)])
    await node.exchange.stop()
    assert [rooms[0] for rooms, _ in node.channels.published] == ["org:acme", "org:acme", "stopped"]


def test_an_event_of_node_goes_to_the_rooms_it_names(node: Node) -> None:
    sent = Broadcast(uid="emitter", namespace="/", event="notice", args=[{"a": 1}], rooms=["org:acme"])
    node.exchange.heard(encode_broadcast(sent))
    assert node.emitted == [
        (("notice", {"a": 1}), {"rooms": ["org:acme"], "except_rooms": [], "volatile": False}),
    ]


def test_what_our_own_nodes_send_to_node_is_not_heard_again(node: Node) -> None:
    sender, reading = Node(), make_reading()
    sender.exchange.add_readings(reading.organization_id, [reading])
    sender.exchange.flush()
    ((_, message),) = sender.channels.published
    node.exchange.heard(msgspec.msgpack.encode(message))
    assert node.emitted == []


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(lambda: b"\xc1", id="no msgpack"),
        pytest.param(
            lambda: encode_broadcast(Broadcast(uid="a", namespace="/", event="disconnect")), id="a reserved event"
        ),
    ],
)
def test_what_is_no_event_is_counted_and_ignored(node: Node, message: Callable[[], bytes]) -> None:
    before = outcome("ignored")
    node.exchange.heard(message())
    assert node.emitted == []
    assert outcome("ignored") == before + 1


def test_other_namespaces_are_none_of_ours(node: Node) -> None:
    node.exchange.heard(encode_broadcast(Broadcast(uid="a", namespace="/chat", event="e")))
    assert node.emitted == []
