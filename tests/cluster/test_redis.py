"""The bus over a real Redis: the contract, and what happens when Redis goes away, is slow, or asks who we are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import structlog

from sensorcast.cluster.numbering import Numbering
from sensorcast.cluster.outgoing import Outgoing
from sensorcast.cluster.redis import Outbox, RedisBus
from sensorcast.cluster.redis_address import RedisAddress
from sensorcast.metrics import BUS_DROPPED
from sensorcast.model import Reading
from sensorcast.wire.bus import Readings
from tests.contracts.bus import BusContract, Listener, NewBus, Node, eventually
from tests.readings import series
from tests.support.cluster import CODEC
from tests.support.redis import RedisServer

MIB = 1024 * 1024
StartRedis = Callable[..., RedisServer]


def redis_bus(url: str, *, prefix: str = "test", queue_max_bytes: int = 16 * MIB, silence_s: float = 3.0) -> RedisBus:
    return RedisBus(RedisAddress(url), prefix=prefix, queue_max_bytes=queue_max_bytes, silence_s=silence_s)


class TestContract(BusContract):
    @pytest.fixture
    def new_bus(self, shared_redis: RedisServer) -> NewBus:
        prefix = uuid.uuid4().hex
        return lambda: redis_bus(shared_redis.url, prefix=prefix)


class Pair:
    """Two nodes on one Redis of their own that listen to the channel `a`."""

    def __init__(self, server: RedisServer, one: Node, two: Node) -> None:
        self.server, self.one, self.two = server, one, two

    async def deaf(self) -> list[str]:
        """Wait until both know that they are deaf; give their reasons."""
        for node in (self.one, self.two):
            await eventually(lambda node=node: bool(node.ears.deafnesses))
        reasons = [node.ears.deafnesses[0] for node in (self.one, self.two)]
        assert all(reason.startswith(f"Redis at 127.0.0.1 port {self.server.port}: ") for reason in reasons)
        return [reason.partition(": ")[2] for reason in reasons]

    async def back(self) -> None:
        """Wait until both listen again, each once, and hear each other."""
        for node in (self.one, self.two):
            await eventually(lambda node=node: node.ears.listening_to.count("a") >= 2)
            await eventually(lambda node=node: node.bus.trouble() is None)
        await eventually(lambda: self.server.command("PUBSUB", "SHARDNUMSUB", "test:a") == [b"test:a", 2])
        said = ("a", b"we are back")
        self.one.bus.publish(*said)
        for node in (self.one, self.two):
            await eventually(lambda node=node: said in node.ears.messages)
            assert node.ears.messages.count(said) == 1


@pytest.fixture
async def pair(start_redis: StartRedis) -> Pair:
    server = start_redis()
    nodes = []
    for _ in range(2):
        node = Node(redis_bus(server.url, silence_s=1.0), Listener())
        await node.bus.start(node.ears)
        await node.listen("a")
        nodes.append(node)
    return Pair(server, *nodes)


@pytest.fixture(autouse=True)
async def nothing_left_running() -> object:
    yield
    for task in asyncio.all_tasks():
        if task.get_name() == "sensorcast-redis":
            task.cancel()
            await asyncio.wait({task})


async def test_it_comes_back_after_redis_was_killed_and_started_again(pair: Pair) -> None:
    pair.server.kill()
    await pair.deaf()
    pair.server.start()
    started_s = asyncio.get_running_loop().time()
    await pair.back()
    assert asyncio.get_running_loop().time() - started_s < 15.0


async def test_a_redis_that_does_not_answer_is_noticed_by_who_publishes_and_by_who_only_listens(pair: Pair) -> None:
    pair.server.pause()
    try:
        pair.one.bus.publish("a", b"x")
        spoke, listened = await pair.deaf()
    finally:
        pair.server.resume()
    assert "no answer" in spoke or "silent" in spoke
    assert "silent" in listened
    await pair.back()


async def test_a_subscriber_that_is_killed_comes_back(pair: Pair) -> None:
    assert pair.server.command("CLIENT", "KILL", "TYPE", "pubsub") == 2
    assert all("onnection" in reason for reason in await pair.deaf())  # closed, or reset
    await pair.back()


async def test_a_subscriber_whose_buffer_ran_over_comes_back(pair: Pair) -> None:
    pair.server.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 262144 262144 1")
    for _ in range(12):
        pair.one.bus.publish("a", bytes(MIB))
    await pair.deaf()
    pair.server.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
    assert len(pair.two.ears.messages) < 12
    await pair.back()


async def test_deafness_is_told_once_however_long_it_lasts(pair: Pair) -> None:
    pair.server.kill()
    await pair.deaf()
    await asyncio.sleep(1.0)
    assert len(pair.one.ears.deafnesses) == 1
    pair.server.start()
    await pair.back()


async def test_what_is_published_while_redis_is_away_is_dropped_and_counted(pair: Pair) -> None:
    pair.server.kill()
    await pair.deaf()
    await eventually(pair.one.bus._is_long_deaf)  # type: ignore[attr-defined]
    before = BUS_DROPPED._value.get()
    pair.one.bus.publish("a", b"lost")
    assert BUS_DROPPED._value.get() == before + 1
    pair.server.start()
    await pair.back()
    assert ("a", b"lost") not in pair.two.ears.messages


async def test_what_is_published_before_the_first_connection_is_sent_then(start_redis: StartRedis) -> None:
    server = start_redis()
    ears = Node(redis_bus(server.url), Listener())
    await ears.bus.start(ears.ears)
    await ears.listen("a")
    hasty = redis_bus(server.url)
    await hasty.start(Listener())
    hasty.publish("a", b"early")
    await ears.hears(("a", b"early"))
    assert hasty.trouble() is None
    await hasty.stop()
    await ears.bus.stop()


async def test_a_redis_that_is_not_there_is_trouble_and_no_failure() -> None:
    bus, ears = redis_bus("redis://127.0.0.1:1/0"), Listener()
    await bus.start(ears)
    bus.listen("a")
    await eventually(lambda: bool(ears.deafnesses))
    assert "127.0.0.1 port 1" in str(bus.trouble())
    async with asyncio.timeout(30):
        await bus.stop()


async def test_a_password_is_needed_and_never_logged(start_redis: StartRedis) -> None:
    server = start_redis("--requirepass", "s3cret-of-redis")
    with structlog.testing.capture_logs() as logs:
        for password, holds in (("wrong-s3cret", False), ("s3cret-of-redis", True)):
            bus, ears = redis_bus(f"redis://:{password}@127.0.0.1:{server.port}/0"), Listener()
            await bus.start(ears)
            bus.listen("a")
            await eventually(lambda ears=ears: bool(ears.listening_to or ears.deafnesses))
            assert (ears.listening_to == ["a"]) is holds
            assert (bus.trouble() is None) is holds
            assert "s3cret" not in str(bus.trouble())
            await bus.stop()
    assert "s3cret" not in str(logs)


async def test_every_node_shares_a_prefix_and_another_prefix_is_another_bus(shared_redis: RedisServer) -> None:
    ours, theirs = redis_bus(shared_redis.url, prefix="ours"), redis_bus(shared_redis.url, prefix="theirs")
    ears = Node(ours, Listener())
    await ours.start(ears.ears)
    await theirs.start(Listener())
    await ears.listen("a")
    theirs.publish("a", b"not for us")
    await theirs.stop()  # it has sent what was waiting
    ours.publish("a", b"for us")
    await ears.hears(("a", b"for us"))
    await ours.stop()
    assert ears.ears.messages == [("a", b"for us")]


@pytest.fixture
async def spoken(shared_redis: RedisServer) -> AsyncIterator[tuple[RedisBus, Node]]:
    """A bus that speaks, and a node that may listen."""
    prefix = uuid.uuid4().hex
    speaker, node = (
        redis_bus(shared_redis.url, prefix=prefix),
        Node(redis_bus(shared_redis.url, prefix=prefix), Listener()),
    )
    await speaker.start(Listener())
    await node.bus.start(node.ears)
    for bus in (speaker, node.bus):
        await eventually(lambda bus=bus: bus.trouble() is None)
    yield speaker, node
    await speaker.stop()
    await node.bus.stop()


async def test_redis_says_of_many_channels_at_once_which_of_them_nobody_listens_to(
    spoken: tuple[RedisBus, Node],
) -> None:
    speaker, node = spoken
    channels = [f"org:{number}" for number in range(2_500)]
    await node.listen(*channels[::2])
    assert sorted(await speaker.unheard(channels)) == sorted(channels[1::2])


async def test_who_begins_to_listen_while_nobody_is_asked_for_hears_all_that_was_stored_since(
    spoken: tuple[RedisBus, Node],
) -> None:
    speaker, node = spoken
    outgoing = Outgoing(speaker, CODEC, Numbering(), sender=("x", 1), max_bytes=MIB, now_us=lambda: 1)
    stored, met = list[Reading](), list[str]()
    for round_ in range(60):
        channel = f"org:{round_}"
        stored.clear()
        for each in series(12):
            if len(stored) == round_ % 12:
                node.bus.listen(channel)
            stored.append(each)
            outgoing.add(channel, [each])
            publishing = asyncio.create_task(outgoing.publish(lambda: 1.0))
            while not publishing.done():
                await asyncio.sleep(0)
                if channel in node.ears.listening_to and channel not in met:
                    met.append(channel)
                    known = {one.id for one in stored}  # what the store has now
        await eventually(lambda channel=channel: channel in node.ears.listening_to)
        if channel not in met:
            known = {one.id for one in stored}
        speaker.publish(channel, b"end")
        await eventually(lambda channel=channel: (channel, b"end") in node.ears.messages)
        heard = {
            one.id
            for name, message in node.ears.messages
            if name == channel and message != b"end" and isinstance(said := CODEC.decode(name, message), Readings)
            for one in said.readings
        }
        assert known | heard == {one.id for one in stored}
    assert met  # or the moment was never met


async def test_what_cannot_be_asked_is_taken_for_heard(start_redis: StartRedis) -> None:
    server = start_redis()
    server.command("ACL", "SETUSER", "bus", "on", ">pw", "&*", "+@all", "-pubsub")
    bus = redis_bus(f"redis://bus:pw@127.0.0.1:{server.port}/0")
    assert not await bus.unheard(["a"])
    ears = Node(bus, Listener())
    await bus.start(ears.ears)
    await ears.listen("b")
    for _ in range(2):
        assert not await bus.unheard(["a"])
    assert (bus.trouble(), ears.ears.deafnesses) == (None, [])
    await bus.stop()


async def test_a_question_that_redis_does_not_answer_ends_with_the_connection(pair: Pair) -> None:
    pair.server.pause()
    try:
        async with asyncio.timeout(15):
            assert not await pair.one.bus.unheard(["nobody's"])
        await pair.deaf()
    finally:
        pair.server.resume()
    await pair.back()
    assert await pair.one.bus.unheard(["nobody's"]) == ["nobody's"]


def test_an_outbox_takes_no_more_than_its_bytes() -> None:
    before = BUS_DROPPED._value.get()
    outbox = Outbox(10_000)
    for _ in range(100):
        outbox.put(b"a", bytes(871))
    assert len(outbox.take(1_000)) == 10
    assert BUS_DROPPED._value.get() == before + 90
    outbox.put(b"a", bytes(871))
    assert len(outbox.take(1_000)) == 1


def test_an_outbox_is_empty_when_everything_taken_was_sent_or_lost() -> None:
    outbox = Outbox(10_000)
    outbox.put(b"a", b"1")
    outbox.put(b"a", b"2")
    outbox.take(1)
    outbox.sent(1)
    assert not outbox.empty.is_set()
    outbox.take(1)
    outbox.lost()
    assert outbox.empty.is_set()
    assert not outbox.filled.is_set()


async def test_a_node_stops_while_redis_does_not_answer(start_redis: StartRedis) -> None:
    server = start_redis()
    node = Node(redis_bus(server.url), Listener())
    await node.bus.start(node.ears)
    await node.listen("a")
    server.pause()
    node.bus.publish("a", b"x")
    async with asyncio.timeout(30):
        await node.bus.stop()
    server.resume()
    assert node.bus.trouble() == "the bus has stopped"
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "sensorcast-redis"]
