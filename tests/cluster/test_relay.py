"""Readings between nodes: each node streams each reading once, and what a bad bus loses is noticed and repaired."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.cluster.relay import BEATS, channel_of
from sensorcast.metrics import REGISTRY
from sensorcast.model import Reading
from sensorcast.wire.bus import BusCodec, derive_key
from tests.broadcasting import run_in_virtual_time
from tests.readings import SECOND_US, reading, series
from tests.support.cluster import CODEC, SECRET, Cluster, ClusterNode

ACME = channel_of("acme")


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


@in_virtual_time
async def test_each_node_streams_each_reading_once_whichever_took_it_in(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    readings = []
    for number in range(20):
        readings.append(now(cluster, f"u{number % 3}"))
        (one, two)[number % 2].ingest(readings[-1])
        await asyncio.sleep(0.01)
    await forwarded()
    for node in (one, two):
        assert Counter(each.id for each in node.flush()) == Counter(each.id for each in readings)
        assert node.latest() == cluster.store.latest


@in_virtual_time
async def test_the_own_stream_does_not_wait(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.ingest(taken := now(cluster))
    assert one.flush() == [taken]
    assert two.flush() == []


@in_virtual_time
async def test_many_readings_of_an_organization_are_one_message(cluster: Cluster) -> None:
    one, _two = await cluster.add(), await cluster.add()
    for number in range(50):
        one.ingest(now(cluster, f"u{number}"))
    await forwarded()
    assert [channel for channel, _ in cluster.air.said].count(ACME) == 1


@in_virtual_time
async def test_an_organization_that_nobody_follows_elsewhere_is_not_even_encoded(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add(follows=None)
    one.ingest(now(cluster))
    await forwarded()
    assert ACME not in [channel for channel, _ in cluster.air.said]
    assert two.latest() == {}


@in_virtual_time
async def test_a_node_alone_says_nothing_and_reads_nothing(cluster: Cluster) -> None:
    one = await cluster.add()
    one.ingest(now(cluster))
    await asyncio.sleep(10)
    assert cluster.air.said == []
    assert cluster.store.pages_read == 0
    assert one.relay.is_whole("acme")
    assert one.relay.trouble() is None


@in_virtual_time
async def test_who_begins_to_follow_has_what_the_store_has(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add(follows=None)
    for number in range(1_200):
        one.ingest(now(cluster, f"u{number}"))
    await asyncio.sleep(20)
    one.ingest(fresh := now(cluster, "u7"))
    two.relay.follow("acme")
    assert not two.relay.is_whole("acme")
    await two.relay.followed("acme")
    assert two.latest() == cluster.store.latest
    assert two.flush() == [fresh]  # the others were flushed long before anybody here asked


@in_virtual_time
async def test_a_reading_that_the_snapshot_brought_is_not_taken_again_from_its_message(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add(follows=None)
    cluster.air.delay_s = 0.5
    two.relay.follow("acme")
    one.ingest(taken := now(cluster))
    await two.relay.followed("acme")
    assert two.flush() == [taken]
    await asyncio.sleep(3)
    assert two.flush() == []


@in_virtual_time
async def test_a_reading_that_the_snapshot_brought_is_not_taken_again_from_the_pipeline(cluster: Cluster) -> None:
    _one, two = await cluster.add(), await cluster.add(follows=None)
    cluster.store.append(taken := now(cluster))  # committed; its pipeline goes on a moment later
    two.relay.follow("acme")
    await two.relay.followed("acme")
    two.relay.add_reading("acme", taken)
    assert two.flush() == [taken]


@in_virtual_time
async def test_joining_in_the_midst_of_traffic_is_no_gap(cluster: Cluster) -> None:
    one, gaps = await cluster.add(), counted("gaps")
    talking = asyncio.create_task(talk(cluster, one))
    await asyncio.sleep(3)
    two = await cluster.add()
    await asyncio.sleep(5)
    talking.cancel()
    await forwarded()
    assert counted("gaps") == gaps
    assert two.notices == []
    assert two.latest() == cluster.store.latest


async def talk(cluster: Cluster, node: ClusterNode, every_s: float = 0.1) -> None:
    while True:
        node.ingest(now(cluster, "talker"))
        await asyncio.sleep(every_s)


@in_virtual_time
async def test_a_lost_message_is_noticed_by_the_next_one_and_repaired(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.ingest(now(cluster))
    await forwarded()
    gaps = counted("gaps")
    cluster.air.loses = lambda channel, _: channel == ACME
    one.ingest(lost := now(cluster, "u2"))
    await forwarded()
    cluster.air.loses = lambda *_: False
    one.ingest(now(cluster, "u3"))
    await forwarded()
    assert counted("gaps") == gaps + 1
    assert two.notices == [("degraded", "acme"), ("restored", "acme")]
    assert two.latest() == cluster.store.latest
    assert lost in two.flush()


@pytest.mark.parametrize("echoes", [True, False])
def test_a_lost_last_message_is_noticed_by_the_beats(echoes: bool) -> None:
    @in_virtual_time
    async def run(cluster: Cluster) -> None:
        one, two = await cluster.add(echoes=echoes), await cluster.add(echoes=echoes)
        cluster.air.loses = lambda channel, _: channel == ACME
        one.ingest(lost := now(cluster))
        await forwarded()
        cluster.air.loses = lambda *_: False
        await asyncio.sleep(5)
        assert two.flush() == [lost]
        assert two.notices == [("degraded", "acme"), ("restored", "acme")]

    run()


@in_virtual_time
async def test_a_message_that_comes_twice_is_taken_once_and_counted(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    replayed = counted("ignored_messages", reason="replayed")
    cluster.air.repeats = lambda channel, _: channel == ACME
    one.ingest(taken := now(cluster))
    await forwarded()
    assert two.flush() == [taken]
    assert counted("ignored_messages", reason="replayed") == replayed + 1


@in_virtual_time
async def test_who_was_deaf_says_so_and_is_as_good_as_the_store_when_it_hears_again(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    two.bus.cut()
    assert two.relay.trouble() == "cut off"
    for number in range(5):
        one.ingest(now(cluster, f"u{number}"))
        await asyncio.sleep(1)
    assert two.notices == [("degraded", "acme")]
    two.bus.mend()
    await asyncio.sleep(0.1)
    assert two.relay.trouble() is None
    assert two.notices == [("degraded", "acme"), ("restored", "acme")]
    assert two.latest() == cluster.store.latest
    assert len(two.flush()) == 5


@in_virtual_time
async def test_who_was_not_heard_is_caught_up_with_when_it_is_back(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.bus.cut()
    one.ingest(lost := now(cluster))
    await asyncio.sleep(20)  # the others hold it for gone
    assert len(two.relay.nodes()) == 1
    one.bus.mend()
    await asyncio.sleep(5)
    assert two.flush() == [lost]
    assert two.latest() == cluster.store.latest


@in_virtual_time
async def test_local_readings_stream_on_while_deaf(cluster: Cluster) -> None:
    one, _two = await cluster.add(), await cluster.add()
    one.bus.cut()
    one.ingest(taken := now(cluster))
    assert one.flush() == [taken]
    assert one.relay.is_whole("acme")


@in_virtual_time
async def test_a_node_that_does_not_hear_itself_holds_itself_for_deaf(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    cluster.air.loses = lambda *_: True
    one.ingest(now(cluster))
    await asyncio.sleep(6)
    assert "beats" in str(two.relay.trouble())
    assert two.notices == [("degraded", "acme")]
    cluster.air.loses = lambda *_: False
    await asyncio.sleep(2)
    assert two.relay.trouble() is None
    assert two.notices[-1] == ("restored", "acme")
    assert two.latest() == cluster.store.latest


@in_virtual_time
async def test_who_begins_to_follow_while_deaf_has_what_the_store_has_and_is_told(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add(follows=None)
    two.bus.cut()
    one.ingest(now(cluster))
    two.relay.follow("acme")
    await two.relay.followed("acme")
    assert two.latest() == cluster.store.latest
    assert two.notices == [("degraded", "acme")]
    two.bus.mend()
    await asyncio.sleep(0.1)
    assert two.notices == [("degraded", "acme"), ("restored", "acme")]


@in_virtual_time
async def test_a_store_that_fails_is_asked_again(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add(follows=None)
    one.ingest(now(cluster))
    cluster.store.failures_left = 3
    two.relay.follow("acme")
    await two.relay.followed("acme")
    assert not two.relay.is_whole("acme")
    await asyncio.sleep(3)
    assert two.relay.is_whole("acme")
    assert two.latest() == cluster.store.latest


@in_virtual_time
async def test_nobody_waits_for_a_slow_store_for_longer_than_two_seconds(cluster: Cluster) -> None:
    _one, two = await cluster.add(), await cluster.add(follows=None)
    cluster.store.slow_s = 60.0
    two.relay.follow("acme")
    before_s = asyncio.get_running_loop().time()
    await two.relay.followed("acme")
    assert asyncio.get_running_loop().time() - before_s == pytest.approx(2.0)


@in_virtual_time
async def test_an_organization_is_followed_for_a_while_after_its_last_connection(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    two.relay.unfollow("acme")
    await asyncio.sleep(20)
    one.ingest(now(cluster))
    await forwarded()
    assert len(two.flush()) == 1
    await asyncio.sleep(15)
    one.ingest(now(cluster))
    await forwarded()
    assert two.flush() == []
    assert not two.relay.is_whole("acme")


@in_virtual_time
async def test_who_comes_back_in_that_while_is_still_whole(cluster: Cluster) -> None:
    _one, two = await cluster.add(), await cluster.add()
    two.relay.unfollow("acme")
    await asyncio.sleep(20)
    two.relay.follow("acme")
    await asyncio.sleep(60)
    assert two.relay.is_whole("acme")


@in_virtual_time
async def test_nodes_know_each_other_until_they_are_silent(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    await asyncio.sleep(2)
    assert [(each.name, each.is_self) for each in two.relay.nodes()] == [("node-0", False), ("node-1", True)]
    await one.relay.stop()
    await asyncio.sleep(8)
    assert [each.name for each in two.relay.nodes()] == ["node-1"]


@in_virtual_time
async def test_a_stop_sends_what_waits(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.ingest(taken := now(cluster))
    await one.relay.stop()
    await asyncio.sleep(0.1)
    assert two.flush() == [taken]


@in_virtual_time
async def test_what_none_of_ours_has_made_is_counted_and_ignored(cluster: Cluster) -> None:
    await cluster.add()
    two = await cluster.add()
    stranger = BusCodec(derive_key(SECRET, "another cluster"))
    [forged] = encoded(stranger, ACME, series(1))
    [elsewhere] = encoded(CODEC, channel_of("other"), series(1, org="other"))
    [mislabelled] = encoded(CODEC, ACME, series(1, org="other"))
    for message, reason in (
        (b"hello", "foreign"),
        (forged, "forged"),
        (bytes(1024 * 1024 + 1), "oversized"),
        (elsewhere, "wrong_channel"),
        (mislabelled, "wrong_channel"),
        (CODEC._seal(b"\xc0"), "unknown"),
    ):
        before = counted("ignored_messages", reason=reason)
        two.bus.bring(ACME, message)
        assert counted("ignored_messages", reason=reason) == before + 1
    assert two.flush() == []
    assert two.latest() == {}


def encoded(codec: BusCodec, channel: str, readings: list[Reading]) -> list[bytes]:
    numbered = codec.encode_readings(readings, channel=channel, origin="x", epoch=1, number=lambda: (1, None))
    return [message for message in numbered if message]


@in_virtual_time
async def test_a_reading_of_another_organization_in_a_message_reaches_nobody(cluster: Cluster) -> None:
    await cluster.add()
    two = await cluster.add()
    [mixed] = encoded(CODEC, ACME, [*series(1), *series(1, org="other")])
    two.bus.bring(ACME, mixed)
    assert two.flush() == series(1)
    assert two.latest("other") == {}


@in_virtual_time
async def test_a_beat_is_no_larger_for_all_that_was_said(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    for number in range(3_000):
        two.relay.follow(f"org-{number}")
        one.ingest(now(cluster, org=f"org-{number}"))
    await asyncio.sleep(8)
    beats = [message for channel, message in cluster.air.said if channel == BEATS]
    assert max(map(len, beats)) < 200_000
    assert len(beats[-1]) < 300  # everything has been named often enough


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from(["u1", "u2", "u3"]), st.booleans(), st.booleans()), max_size=25
    )
)
def test_whatever_is_lost_and_repeated_every_node_ends_as_the_store_and_has_nothing_twice(
    steps: list[tuple[int, str, bool, bool]],
) -> None:
    @in_virtual_time
    async def run(cluster: Cluster) -> None:
        nodes = await cluster.add(), await cluster.add()
        for speaker, unit_id, loses, repeats in steps:
            cluster.air.loses = lambda channel, _, loses=loses: loses and channel == ACME
            cluster.air.repeats = lambda *_, repeats=repeats: repeats
            nodes[speaker].ingest(now(cluster, unit_id))
            await forwarded()
        cluster.air.loses = cluster.air.repeats = lambda *_: False
        await asyncio.sleep(6)
        for node in nodes:
            assert node.latest() == cluster.store.latest
            node.flush()
            assert max(Counter(each.id for each in node.flushed).values(), default=1) == 1
            assert [kind for kind, _ in node.notices].count("degraded") == len(node.notices) / 2

    run()


def test_clocks_that_differ_by_seconds_do_no_harm() -> None:
    @in_virtual_time
    async def run(cluster: Cluster) -> None:
        one, two = await cluster.add(), await cluster.add()
        two.bus.cut()
        one.ingest(slow := now(cluster, received_at_us=round(cluster.now_s() * 1e6) - 3 * SECOND_US))
        await asyncio.sleep(1)
        two.bus.mend()
        await asyncio.sleep(0.1)
        assert two.flush() == [slow]

    run()
