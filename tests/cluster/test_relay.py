"""Readings between nodes: each node streams each reading once, and believes only its own kind."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sensorcast.cluster.relay import BEATS, channel_of
from sensorcast.model import Reading
from sensorcast.wire.bus import BusCodec, derive_key
from tests.readings import T0_S, series
from tests.support.cluster import CODEC, SECRET, Cluster, ClusterNode, counted, forwarded, in_virtual_time, now

ACME = channel_of("acme")


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


@given(st.integers(0, 800), st.integers(0, 400), st.integers(0, 300), st.integers(1, 120))
def test_who_begins_to_follow_while_it_is_asked_who_listens_misses_nothing(
    follow_ms: int, question_ms: int, delay_ms: int, every_ms: int
) -> None:
    @in_virtual_time
    async def run(cluster: Cluster) -> None:
        one, two = await cluster.add(follows=None), await cluster.add(follows=None)
        cluster.air.question_s, cluster.air.delay_s = question_ms / 1_000, delay_ms / 1_000
        talking, gaps = asyncio.create_task(talk(cluster, one, every_ms / 1_000)), counted("gaps")
        await asyncio.sleep(follow_ms / 1_000)
        two.relay.follow("acme")
        await two.relay.followed("acme")
        known = two.latest()  # by the snapshot; all that is stored from here on has to come
        stored: list[Reading] = []
        append = cluster.store.append
        cluster.store.append = lambda each: (append(each), stored.append(each))[0]  # type: ignore[method-assign]
        await asyncio.sleep(2)
        talking.cancel()
        await asyncio.sleep(4)
        two.flush()
        assert len(known) <= 1
        assert stored
        assert {each.id for each in stored} <= {each.id for each in two.flushed}
        assert len({each.id for each in two.flushed}) == len(two.flushed)
        assert two.latest() == cluster.store.latest
        assert counted("gaps") == gaps

    run()


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
    two.relay.add_readings("acme", [taken])
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
    now_us = round((T0_S + asyncio.get_running_loop().time()) * 1e6)
    numbered = codec.encode_readings(
        readings, channel=channel, origin="x", epoch=1, sent_us=now_us, number=lambda: (1, None)
    )
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
