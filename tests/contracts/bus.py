"""The contract of `cluster.Bus`, run on every implementation.

A twin of an implementation subclasses it and gives the fixture `new_bus`: each call gives the bus of another node of
one and the same cluster, not started yet, up to three of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sensorcast.cluster import Bus

DEADLINE_S = 30.0

NewBus = Callable[[], Bus]


class Listener:
    """Ears that remember."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.listening_to: list[str] = []
        self.deafnesses: list[str] = []

    def heard(self, channel: str, message: bytes) -> None:
        self.messages.append((channel, message))

    def listening(self, channel: str) -> None:
        self.listening_to.append(channel)

    def deaf(self, reason: str) -> None:
        self.deafnesses.append(reason)


class Node:
    """A started bus and what it told."""

    def __init__(self, bus: Bus, ears: Listener) -> None:
        self.bus = bus
        self.ears = ears

    async def listen(self, *channels: str) -> None:
        """Listen, and wait until it holds."""
        for channel in channels:
            self.bus.listen(channel)
        await eventually(lambda: set(channels) <= set(self.ears.listening_to))

    async def hears(self, *messages: tuple[str, bytes]) -> None:
        """Wait until as many messages have come, and look at them."""
        await eventually(lambda: len(self.ears.messages) >= len(messages))
        assert self.ears.messages == list(messages)


async def eventually(holds: Callable[[], bool], *, within_s: float = DEADLINE_S) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.005)


StartNode = Callable[[], Awaitable[Node]]


class BusContract:
    @pytest.fixture
    async def start_node(self, new_bus: NewBus) -> AsyncIterator[StartNode]:
        started: list[Node] = []

        async def start() -> Node:
            node = Node(new_bus(), Listener())
            started.append(node)
            await node.bus.start(node.ears)
            return node

        yield start
        for node in started:
            await node.bus.stop()

    @pytest.fixture
    async def pair(self, start_node: StartNode) -> tuple[Node, Node]:
        """Two nodes that hear each other: on a channel of the tests' own, so that what was said is over."""
        one, two = await start_node(), await start_node()
        await one.listen("hello")
        await two.listen("hello")
        for speaker, listener in ((one, two), (two, one)):
            await eventually(lambda speaker=speaker: speaker.bus.is_heard("hello"))
            speaker.bus.publish("hello", b"hello")
            await eventually(lambda listener=listener: bool(listener.ears.messages))
        await eventually(lambda: len(one.ears.messages) == len(two.ears.messages) == 1 + one.bus.echoes)
        for node in (one, two):
            node.bus.unlisten("hello")
            node.ears.messages.clear()
            node.ears.listening_to.clear()
        return one, two

    async def test_who_listens_hears_and_nobody_else(self, pair: tuple[Node, Node], start_node: StartNode) -> None:
        (speaker, listener), other = pair, await start_node()
        await listener.listen("a", "b")
        await other.listen("b")
        speaker.bus.publish("a", b"to a")
        speaker.bus.publish("c", b"to nobody")
        speaker.bus.publish("b", b"to b")
        await listener.hears(("a", b"to a"), ("b", b"to b"))
        await other.hears(("b", b"to b"))

    async def test_messages_of_one_node_on_one_channel_arrive_in_order(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a")
        for number in range(2_000):
            speaker.bus.publish("a", str(number).encode())
            if number % 100 == 0:
                await asyncio.sleep(0)
        await listener.hears(*(("a", str(number).encode()) for number in range(2_000)))

    @pytest.mark.parametrize("message", [b"", bytes(range(256)), b"\r\n$-1\r\n", b"x" * 1_048_576], ids=len)
    async def test_a_message_arrives_as_it_was(self, pair: tuple[Node, Node], message: bytes) -> None:
        speaker, listener = pair
        await listener.listen("a")
        speaker.bus.publish("a", message)
        await listener.hears(("a", message))

    async def test_a_node_hears_itself_where_the_bus_echoes_and_only_there(self, pair: tuple[Node, Node]) -> None:
        one, two = pair
        await one.listen("a")
        await two.listen("a")
        one.bus.publish("a", b"mine")
        await two.hears(("a", b"mine"))
        two.bus.publish("a", b"yours")
        await eventually(lambda: ("a", b"yours") in one.ears.messages)
        assert (("a", b"mine") in one.ears.messages) is one.bus.echoes

    async def test_who_listens_no_more_hears_no_more(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a", "b")
        listener.bus.unlisten("a")
        listener.bus.unlisten("never listened to")
        for number in range(50):  # it may take a moment until the other side knows
            speaker.bus.publish("a", str(number).encode())
            speaker.bus.publish("b", str(number).encode())
        await eventually(lambda: ("b", b"49") in listener.ears.messages)
        listener.ears.messages.clear()
        speaker.bus.publish("a", b"late")
        speaker.bus.publish("b", b"end")
        await listener.hears(("b", b"end"))

    async def test_who_listens_again_hears_again(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a")
        listener.bus.unlisten("a")
        listener.ears.listening_to.clear()
        await listener.listen("a")
        await eventually(lambda: speaker.bus.is_heard("a"))
        speaker.bus.publish("a", b"again")
        await listener.hears(("a", b"again"))

    async def test_listening_twice_is_hearing_once(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a")
        listener.bus.listen("a")
        speaker.bus.publish("a", b"once")
        speaker.bus.publish("a", b"end")
        await listener.hears(("a", b"once"), ("a", b"end"))

    async def test_nothing_published_after_listening_is_missed(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        channels = [f"channel {number}" for number in range(300)]
        await listener.listen(*channels)
        for channel in channels:
            assert speaker.bus.is_heard(channel)
            speaker.bus.publish(channel, b"x")
        await listener.hears(*((channel, b"x") for channel in channels))

    async def test_a_channel_with_a_listener_is_never_unheard(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a")
        await speaker.listen("own")
        assert set(await speaker.bus.unheard(["a", "own", "nobody's"])) <= {"nobody's"}
        assert not await speaker.bus.unheard([])

    async def test_there_is_no_trouble_and_no_deafness_in_good_times(self, pair: tuple[Node, Node]) -> None:
        for node in pair:
            await eventually(lambda node=node: node.bus.trouble() is None)
            assert node.ears.deafnesses == []

    async def test_a_stop_sends_what_is_waiting(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a")
        for number in range(100):
            speaker.bus.publish("a", str(number).encode())
        await speaker.bus.stop()
        await listener.hears(*(("a", str(number).encode()) for number in range(100)))

    async def test_after_its_stop_a_bus_is_silent_and_harmless(self, pair: tuple[Node, Node]) -> None:
        speaker, listener = pair
        await listener.listen("a")
        await listener.bus.stop()
        listener.bus.listen("b")
        listener.bus.unlisten("a")
        listener.bus.publish("a", b"nobody sends this")
        speaker.bus.publish("a", b"nobody hears this")
        await listener.bus.stop()
        await asyncio.sleep(0.05)
        assert listener.ears.messages == []

    async def test_a_bus_that_was_never_started_is_harmless(self, new_bus: NewBus) -> None:
        bus = new_bus()
        bus.listen("a")
        bus.publish("a", b"x")
        bus.unlisten("a")
        await bus.stop()
