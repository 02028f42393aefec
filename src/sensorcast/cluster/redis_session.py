"""One stretch of being connected to Redis: two connections to each of its servers, until one of them fails.

Owns what is on the wire: publishing, pipelined, on one connection; subscriptions and what they bring on the other. The
invariants: a channel is told to be listened to only when Redis has confirmed the last of its subscriptions; a server
that stops answering ends the session within `ANSWER_S`, one that goes silent within the silence it is given.

Time is counted in turns of the event loop (`TICK_S` each), so that a loop that was held up takes nobody for dead whose
answer has been waiting for it. Nothing ticks while all is well: waking up an idle process costs more than what there
would be to do.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError, ResponseError

from sensorcast.cluster.redis_address import Layout, RedisAddress

ANSWER_S: Final = 0.5
"""Longest wait for the answer to something published: Redis answers within a millisecond, or is not there."""
TICK_S: Final = 0.1
SLICE_S: Final = 0.005
"""Time that messages may take before the loop gets a turn."""
MESSAGES_PER_WRITE: Final = 256
COMMANDS_PER_WRITE: Final = 1_000

_LOOKS_PER_SILENCE: Final = 3


class Verbs(NamedTuple):
    """The commands for channels of one kind."""

    subscribe: bytes
    unsubscribe: bytes
    publish: bytes
    listeners: bytes


PLAIN: Final = Verbs(b"SUBSCRIBE", b"UNSUBSCRIBE", b"PUBLISH", b"NUMSUB")
SHARDED: Final = Verbs(b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"SPUBLISH", b"SHARDNUMSUB")
PATTERNS: Final = Verbs(b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"PUBLISH", b"NUMSUB")
"""Listens to patterns; what is heard comes under the pattern."""


class Silent(RedisError):
    """A server that is connected and does not answer."""


class Moved(RedisError):
    """A channel that its server has given away, and with it those who listened."""


class Waiting(Protocol):
    """What waits to be published; `redis.Outbox` is one."""

    filled: asyncio.Event

    def take(self, count: int) -> list[tuple[bytes, bytes]]:
        """Hand over the first `count` of (channel, message)."""
        ...

    def sent(self, count: int) -> None:
        """So many of those handed over have reached Redis."""
        ...


class _Question(NamedTuple):
    """How many listen to channels; the answer is empty where it is not known."""

    channels: Sequence[bytes]
    answer: asyncio.Future[dict[bytes, int]]

    def settle(self, counts: dict[bytes, int]) -> None:
        if not self.answer.done():
            self.answer.set_result(counts)


class _Patience:
    """Counts ticks from `begin` on, anew after each `go_on`, until `end`; sets `over` after `ANSWER_S`."""

    def __init__(self, over: asyncio.Event) -> None:
        self._over = over
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._ticks = 0
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def go_on(self) -> None:
        self._ticks = 0

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks * TICK_S > ANSWER_S:
            self._over.set()
        else:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)


class _Link:
    """The two connections to one server."""

    def __init__(self, publishing: Connection, hearing: Connection) -> None:
        self.publishing = publishing
        self.hearing = hearing
        self.has_spoken = False
        """Whether anything was heard since somebody looked."""
        self.silent_ticks = 0

    async def close(self) -> None:
        await self.publishing.disconnect(nowait=True)
        await self.hearing.disconnect(nowait=True)


class Session:
    """Made by `open_session`, for the channels that are to be listened to. `run` it; it ends by raising."""

    def __init__(
        self,
        layout: Layout,
        links: list[_Link],
        waiting: Waiting,
        *,
        verbs: Verbs,
        silence_s: float,
        heard: Callable[[bytes, bytes], None],
        listening: Callable[[bytes], None],
    ) -> None:
        self._layout = layout
        self._links = links
        self._waiting = waiting
        self._silence_ticks = max(1, round(silence_s / TICK_S))
        self._heard = heard
        self._listening = listening
        self._commands: deque[tuple[bytes, bytes]] = deque()
        self._unconfirmed: Counter[bytes] = Counter()
        self._leaving: Counter[bytes] = Counter()
        self._asked_to = asyncio.Event()
        self._no_answer = asyncio.Event()
        self._patience = _Patience(self._no_answer)
        self._verbs = verbs
        self._questions: list[_Question] = []
        # In a Redis Cluster a server that has given a channel away says that nobody listens to it, not that it moved.
        self._may_ask = not layout.slot_ends

    @property
    def is_settled(self) -> bool:
        """Whether everything that was to be listened to is."""
        return not self._unconfirmed

    def subscribe(self, channels: Collection[bytes]) -> None:
        """Ask for channels; `listening` follows for each."""
        self._unconfirmed.update(channels)
        self._commands.extend((self._verbs.subscribe, channel) for channel in channels)
        self._asked_to.set()

    def unsubscribe(self, channel: bytes) -> None:
        """Ask for a channel no more."""
        self._leaving[channel] += 1
        self._commands.append((self._verbs.unsubscribe, channel))
        self._asked_to.set()

    async def listeners(self, channels: Sequence[bytes]) -> dict[bytes, int]:
        """Ask how many listen to each of `channels` now; empty where that cannot be known."""
        if not self._may_ask:
            return {}
        question = _Question(channels, asyncio.get_running_loop().create_future())
        self._questions.append(question)
        self._waiting.filled.set()
        return await question.answer

    async def run(self) -> None:
        """Publish, subscribe and hear, until something fails."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for link in self._links:
                    tasks.create_task(self._hear(link))
                tasks.create_task(self._publish())
                tasks.create_task(self._ask())
                tasks.create_task(self._watch_answers())
                tasks.create_task(self._watch_silence())
        finally:
            self._patience.end()
            self._may_ask = False
            for question in self._questions:
                question.settle({})
            for link in self._links:
                await link.close()

    async def _publish(self) -> None:
        while True:
            await self._waiting.filled.wait()
            batch = self._waiting.take(MESSAGES_PER_WRITE)
            by_link: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
            for channel, message in batch:
                by_link.setdefault(self._layout.place_of(channel), []).append((self._verbs.publish, channel, message))
            self._patience.begin()
            for index, commands in by_link.items():
                publishing = self._links[index].publishing
                await publishing.send_packed_command(publishing.pack_commands(commands))
            for index, commands in by_link.items():
                for _ in commands:
                    await self._links[index].publishing.read_response(timeout=math.inf)
                    self._patience.go_on()
            await self._answer_questions()
            self._patience.end()
            self._waiting.sent(len(batch))

    async def _answer_questions(self) -> None:
        """Ask the one server there is what is to be asked; they stay in the list until they are answered."""
        publishing = self._links[0].publishing
        while self._questions:
            question = self._questions[0]
            await publishing.send_command(b"PUBSUB", self._verbs.listeners, *question.channels)
            try:
                said = await publishing.read_response(timeout=math.inf)
            except ResponseError:  # this user may not
                self._may_ask, said = False, []
            self._patience.go_on()
            question.settle(dict(zip(said[::2], said[1::2], strict=True)))
            self._questions.pop(0)

    async def _ask(self) -> None:
        """Send what was asked for to where each channel is."""
        while True:
            await self._asked_to.wait()
            self._asked_to.clear()
            while self._commands:
                by_link: dict[int, list[tuple[bytes, bytes]]] = {}
                for _ in range(min(COMMANDS_PER_WRITE, len(self._commands))):
                    command = self._commands.popleft()
                    by_link.setdefault(self._layout.place_of(command[1]), []).append(command)
                for index, commands in by_link.items():
                    hearing = self._links[index].hearing
                    await hearing.send_packed_command(hearing.pack_commands(commands))

    async def _hear(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        slice_ends_s = loop.time() + SLICE_S
        while True:
            said = await link.hearing.read_response(timeout=math.inf)
            link.has_spoken = True
            self._take(said)
            if loop.time() >= slice_ends_s:
                await asyncio.sleep(0)
                slice_ends_s = loop.time() + SLICE_S

    def _take(self, said: list[bytes]) -> None:
        match said:
            case [b"message" | b"smessage", bytes(channel), bytes(message)]:
                self._heard(channel, message)
            case [b"pmessage", bytes(pattern), bytes(_), bytes(message)]:
                self._heard(pattern, message)
            case [b"subscribe" | b"ssubscribe" | b"psubscribe", bytes(channel), _]:
                self._unconfirmed[channel] -= 1
                if self._unconfirmed[channel] <= 0:
                    del self._unconfirmed[channel]
                    self._listening(channel)
            case [b"unsubscribe" | b"sunsubscribe" | b"punsubscribe", bytes(channel), _]:
                self._left(channel)
            case _:
                pass  # an answer to a ping

    def _left(self, channel: bytes) -> None:
        if not self._leaving[channel]:  # a Redis Cluster has given the channel to another of its servers
            raise Moved("a channel has moved to another server")
        self._leaving[channel] -= 1
        if not self._leaving[channel]:
            del self._leaving[channel]

    async def _watch_answers(self) -> None:
        """End the session when a server owes an answer for too long."""
        await self._no_answer.wait()
        raise Silent(f"no answer for {ANSWER_S:g} s")

    async def _watch_silence(self) -> None:
        """Look from time to time whether everybody has spoken; ask those that have not, and look at them each tick."""
        rest_ticks = max(1, self._silence_ticks // _LOOKS_PER_SILENCE)
        while True:
            suspects = [link for link in self._links if link.silent_ticks]
            ticks = 1 if suspects else rest_ticks
            await asyncio.sleep(ticks * TICK_S)
            for link in suspects or self._links:
                if link.has_spoken:
                    link.has_spoken, link.silent_ticks = False, 0
                    continue
                link.silent_ticks += ticks
                # It may have fallen silent right after the look before.
                if link.silent_ticks + rest_ticks > self._silence_ticks:
                    raise Silent(f"silent for {self._silence_ticks * TICK_S:g} s")
                if link.silent_ticks == ticks:
                    await link.hearing.send_packed_command(link.hearing.pack_command(b"PING"))


async def open_session(
    address: RedisAddress,
    waiting: Waiting,
    *,
    verbs: Verbs | None = None,
    timeout_s: float,
    silence_s: float,
    heard: Callable[[bytes, bytes], None],
    listening: Callable[[bytes], None],
) -> Session:
    """Connect to every server behind an address. Raises `RedisError`, `OSError` or `TimeoutError`.

    Without `verbs` channels are sharded where the server can do that.
    """
    layout = await address.look(timeout_s=timeout_s)
    links: list[_Link] = []
    try:
        for place in layout.places:
            publishing = await address.connect(place, timeout_s=timeout_s)
            try:
                links.append(_Link(publishing, await address.connect(place, timeout_s=timeout_s)))
            except BaseException:
                await publishing.disconnect(nowait=True)
                raise
    except BaseException:
        for link in links:
            await link.close()
        raise
    verbs = verbs or (SHARDED if layout.sharded else PLAIN)
    return Session(layout, links, waiting, verbs=verbs, silence_s=silence_s, heard=heard, listening=listening)
