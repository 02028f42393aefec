"""One stretch of being connected: what ends it, what does not, and a Redis Cluster of three servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from sensorcast.cluster.redis import Outbox
from sensorcast.cluster.redis_address import RedisAddress
from sensorcast.cluster.redis_session import Session, Silent, open_session
from tests.cluster.test_redis import redis_bus
from tests.contracts.bus import Listener, Node, eventually
from tests.support.redis import RedisCluster, RedisServer

StartRedis = Callable[..., RedisServer]


class Connected:
    """A session under way."""

    def __init__(self, session: Session, outbox: Outbox, listening: list[bytes], heard: list[bytes]) -> None:
        self.session, self.outbox, self.listening, self.heard = session, outbox, listening, heard
        self.running = asyncio.create_task(session.run())

    async def error(self) -> Exception:
        """Wait for the end and give its reason."""
        async with asyncio.timeout(30):
            with pytest.raises(ExceptionGroup) as caught:
                await self.running
        return caught.value.exceptions[0]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., object]]:
    made: list[Connected] = []

    async def connect(server: RedisServer, silence_s: float = 1.0) -> Connected:
        outbox, listening, heard = Outbox(1_000_000), list[bytes](), list[bytes]()
        session = await open_session(
            RedisAddress(server.url),
            outbox,
            timeout_s=5,
            silence_s=silence_s,
            heard=lambda _channel, message: heard.append(message),
            listening=listening.append,
        )
        made.append(Connected(session, outbox, listening, heard))
        return made[-1]

    yield connect
    for each in made:
        each.running.cancel()
        await asyncio.wait({each.running})


async def test_an_unanswered_message_ends_the_session(start_redis, connect) -> None:
    server = start_redis()
    connected = await connect(server, silence_s=60.0)
    server.pause()
    connected.outbox.put(b"a", b"x")
    assert "no answer" in str(await connected.error())
    server.resume()


async def test_silence_ends_the_session_though_nothing_was_asked(start_redis, connect) -> None:
    server = start_redis()
    connected = await connect(server)
    server.pause()
    error = await connected.error()
    assert isinstance(error, Silent)
    assert "silent" in str(error)
    server.resume()


async def test_a_quiet_server_is_asked_now_and_then_and_kept(start_redis, connect) -> None:
    server = start_redis()
    connected = await connect(server, silence_s=1.5)
    pings = await asyncio.to_thread(_pings_after_s, server, 4.0)
    assert not connected.running.done()
    assert 2 <= pings <= 12  # once in half a second at most; not at every tick, of which there are forty


def _pings_after_s(server: RedisServer, seconds: float) -> int:
    time.sleep(seconds)
    return int(server.command("INFO", "commandstats")["cmdstat_ping"]["calls"])


async def test_a_loop_that_was_held_up_takes_nobody_for_dead(shared_redis, connect) -> None:
    connected = await connect(shared_redis, silence_s=0.5)
    connected.session.subscribe([b"held-up"])
    await eventually(lambda: connected.listening == [b"held-up"])
    for _ in range(3):
        connected.outbox.put(b"held-up", b"x")
        time.sleep(0.8)
        await asyncio.sleep(0.15)
    await eventually(lambda: len(connected.heard) == 3)
    assert not connected.running.done()


async def test_only_the_last_of_several_subscriptions_counts(shared_redis, connect) -> None:
    connected = await connect(shared_redis)
    connected.session.subscribe([b"twice"])
    connected.session.unsubscribe(b"twice")
    connected.session.subscribe([b"twice"])
    assert not connected.session.is_settled
    await eventually(lambda: connected.session.is_settled)
    assert connected.listening == [b"twice"]


@pytest.fixture(scope="module")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


async def test_a_redis_cluster_carries_each_channel_through_its_own_server(redis_cluster: RedisCluster) -> None:
    layout = await RedisAddress(redis_cluster.url).look(timeout_s=30)
    assert sorted(port for _, port in layout.places) == sorted(server.port for server in redis_cluster.servers)
    one, two = (Node(redis_bus(redis_cluster.url), Listener()) for _ in range(2))
    channels = [f"channel {number}" for number in range(60)]
    for node in (one, two):
        await node.bus.start(node.ears)
        await node.listen(*channels)
    for channel in channels:
        one.bus.publish(channel, channel.encode())
    await eventually(lambda: len(two.ears.messages) == len(channels))
    assert sorted(two.ears.messages) == sorted((channel, channel.encode()) for channel in channels)
    assert not await one.bus.unheard(["nobody's"])  # a server that gave a channel away would say that nobody listens
    used = [server.command("PUBSUB", "SHARDCHANNELS") for server in redis_cluster.servers]
    assert all(used)
    assert sum(map(len, used)) == len(channels)
    for node in (one, two):
        await node.bus.stop()


async def test_a_redis_cluster_is_back_when_all_its_servers_are(redis_cluster: RedisCluster) -> None:
    node = Node(redis_bus(redis_cluster.url), Listener())
    await node.bus.start(node.ears)
    await node.listen("a", "b", "c", "d")
    redis_cluster.servers[1].kill()
    await eventually(lambda: bool(node.ears.deafnesses))
    redis_cluster.servers[1].start()
    await eventually(lambda: node.bus.trouble() is None, within_s=30)
    await eventually(lambda: all(node.ears.listening_to.count(each) >= 2 for each in "abcd"))
    assert str(redis_cluster.servers[0].port) in node.ears.deafnesses[0]  # where it asks for the others
    for channel in "abcd":
        node.bus.publish(channel, b"back")
    await eventually(lambda: len(node.ears.messages) >= 4)
    assert sorted(node.ears.messages) == [(channel, b"back") for channel in "abcd"]
    await node.bus.stop()


async def test_a_channel_that_a_redis_cluster_moves_to_another_server_is_followed_there(
    redis_cluster: RedisCluster,
) -> None:
    one, two = (Node(redis_bus(redis_cluster.url), Listener()) for _ in range(2))
    for node in (one, two):
        await node.bus.start(node.ears)
    await two.listen("moved")
    [before] = places_of(redis_cluster, b"test:moved")
    [name] = await asyncio.to_thread(redis_cluster.move_channels)
    await eventually(lambda: bool(two.ears.deafnesses))
    assert "moved" in two.ears.deafnesses[0]
    await eventually(lambda: two.ears.listening_to.count("moved") >= 2)
    [after] = places_of(redis_cluster, b"test:moved")
    assert after != before

    def arrives() -> bool:
        one.bus.publish("moved", name)  # the first may still go to the old place
        return bool(two.ears.messages)

    await eventually(arrives)
    assert set(two.ears.messages) == {("moved", name)}
    for node in (one, two):
        await node.bus.stop()


def places_of(cluster: RedisCluster, name: bytes) -> list[int]:
    """The ports of the servers at which somebody listens to a channel."""
    return [server.port for server in cluster.servers if name in server.command("PUBSUB", "SHARDCHANNELS")]
