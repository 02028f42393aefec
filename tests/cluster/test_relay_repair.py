"""What a bad bus loses, delays and repeats is noticed, said and repaired from the store."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.cluster.relay import channel_of
from tests.readings import SECOND_US
from tests.support.cluster import MESSAGE_AGE_S, Cluster, ClusterNode, counted, forwarded, in_virtual_time, now

ACME = channel_of("acme")


async def talk(cluster: Cluster, node: ClusterNode, every_s: float = 0.1) -> None:
    while True:
        node.ingest(now(cluster, "talker"))
        await asyncio.sleep(every_s)


@in_virtual_time
async def test_a_loss_before_anything_was_heard_is_repaired_before_anybody_could_have_seen_it(cluster: Cluster) -> None:
    one, gaps = await cluster.add(), counted("gaps")
    one.ingest(now(cluster))
    await forwarded()
    two = await cluster.add()
    cluster.air.loses = lambda channel, _: channel == ACME
    one.ingest(now(cluster, "u2"))
    await asyncio.sleep(0.5)
    cluster.air.loses = lambda *_: False
    one.ingest(now(cluster, "u3"))
    await forwarded()
    assert two.latest() == cluster.store.latest
    assert counted("gaps") == gaps
    assert two.notices == []


@in_virtual_time
async def test_joining_over_a_slow_bus_is_no_gap(cluster: Cluster) -> None:
    one, gaps = await cluster.add(), counted("gaps")
    cluster.air.delay_s = 0.4
    talking = asyncio.create_task(talk(cluster, one))
    await asyncio.sleep(3)
    two = await cluster.add()
    await asyncio.sleep(5)
    talking.cancel()
    await asyncio.sleep(1)
    assert counted("gaps") == gaps
    assert two.notices == []
    assert two.latest() == cluster.store.latest


@in_virtual_time
async def test_beats_that_were_lost_in_a_long_fault_are_no_second_fault(cluster: Cluster) -> None:
    one, _two = await cluster.add(), await cluster.add()
    cluster.air.delay_s = 0.7
    one.bus.cut()
    await asyncio.sleep(30)
    one.bus.mend()
    await asyncio.sleep(10)
    assert one.notices == [("degraded", "acme"), ("restored", "acme")]


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


def replay(cluster: Cluster, node: ClusterNode, recorded: list[tuple[str, bytes]]) -> None:
    """Say again what was said, as somebody who can write to Redis may."""
    assert recorded
    for channel, message in recorded:
        node.bus.bring(channel, message)


@in_virtual_time
async def test_what_a_node_said_that_is_gone_is_not_taken_again_however_much_later(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    for number in range(5):
        one.ingest(now(cluster, f"u{number}"))
        await forwarded()
    await one.relay.stop()
    recorded = list(cluster.air.said)
    assert len(two.flush()) == 5
    for reason, later_s in (("replayed", 8), ("replayed", 100), ("stale", 100)):
        await asyncio.sleep(later_s)
        before = counted("ignored_messages", reason=reason)
        replay(cluster, two, [(channel, message) for channel, message in recorded if is_of(one, message)])
        await asyncio.sleep(0.5)
        assert counted("ignored_messages", reason=reason) > before + 5
        assert two.flush() == []
        assert [each.name for each in two.relay.nodes()] == ["node-1"]
    assert two.latest() == cluster.store.latest


def is_of(node: ClusterNode, message: bytes) -> bool:
    return node.relay._own.origin.encode() in message


@in_virtual_time
async def test_beats_of_a_killed_node_do_not_hide_its_end(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    await asyncio.sleep(3)
    beats = [(channel, message) for channel, message in cluster.air.said if is_of(one, message)]
    one.bus.cut()
    for _ in range(10):
        await asyncio.sleep(1)
        replay(cluster, two, beats)
    assert [each.name for each in two.relay.nodes()] == ["node-1"]
    assert two.notices == [("degraded", "acme"), ("restored", "acme")]


@in_virtual_time
async def test_own_beats_that_somebody_says_again_do_not_hide_that_nothing_comes_back(cluster: Cluster) -> None:
    _one, two = await cluster.add(), await cluster.add()
    await asyncio.sleep(3)
    beats = [(channel, message) for channel, message in cluster.air.said if is_of(two, message)]
    cluster.air.loses = lambda *_: True
    for _ in range(6):
        await asyncio.sleep(1)
        replay(cluster, two, beats)
    assert two.relay.trouble() == "the bus does not bring back our own beats"


@in_virtual_time
async def test_a_node_with_a_wrong_clock_is_said_to_be_stale_and_read_from_the_store(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add(follows=None)
    one.relay._clock_s = lambda: cluster.now_s() - 10 * MESSAGE_AGE_S
    stale, pages = counted("ignored_messages", reason="stale"), cluster.store.pages_read
    two.relay.follow("acme")
    await asyncio.sleep(0.1)
    for number in range(8):
        one.ingest(now(cluster, f"u{number}"))
        await forwarded()
    assert counted("ignored_messages", reason="stale") >= stale + 8
    assert 2 <= cluster.store.pages_read - pages <= 4  # not one for each message
    await asyncio.sleep(MESSAGE_AGE_S)
    one.ingest(now(cluster, "u1"))
    await forwarded()
    assert two.latest() == cluster.store.latest


@in_virtual_time
async def test_a_node_that_was_held_up_for_long_takes_what_has_waited_for_it(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.ingest(now(cluster))
    await forwarded()
    two.flush()
    cluster.air.delay_s = 2 * MESSAGE_AGE_S
    one.ingest(taken := now(cluster, "u2"))
    await asyncio.sleep(2 * MESSAGE_AGE_S + 1)
    assert two.flush() == [taken]


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
async def test_what_a_node_stored_right_before_it_died_is_found_in_the_store(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.ingest(heard := now(cluster))
    await asyncio.sleep(2)
    one.ingest(lost := now(cluster, "u2"))
    one.bus.cut()  # for ever: to the others this is death
    await asyncio.sleep(8)
    assert two.flush() == [heard, lost]
    assert two.latest() == cluster.store.latest
    assert two.notices == [("degraded", "acme"), ("restored", "acme")]


@in_virtual_time
async def test_a_node_that_ends_in_good_order_alarms_nobody(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    one.ingest(last := now(cluster))
    await one.relay.stop()
    published = counted("published_messages")
    await one.relay.stop()
    assert counted("published_messages") == published
    await asyncio.sleep(8)
    assert len(two.relay.nodes()) == 1
    assert two.flush() == [last]
    assert two.notices == []


@in_virtual_time
async def test_others_are_not_held_for_gone_by_one_who_was_deaf(cluster: Cluster) -> None:
    _one, two = await cluster.add(), await cluster.add()
    two.bus.cut()
    await asyncio.sleep(4.5)
    two.bus.mend()
    await asyncio.sleep(8)
    assert two.notices == [("degraded", "acme"), ("restored", "acme")]


@in_virtual_time
async def test_one_beat_that_fails_does_not_end_them_all(cluster: Cluster) -> None:
    one, two = await cluster.add(), await cluster.add()
    publish, failures = one.bus.publish, iter([OSError("no")])

    def fail_once(channel: str, message: bytes) -> None:
        for failure in failures:
            raise failure
        publish(channel, message)

    one.bus.publish = fail_once  # type: ignore[method-assign]
    await asyncio.sleep(8)
    assert len(two.relay.nodes()) == 2


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
