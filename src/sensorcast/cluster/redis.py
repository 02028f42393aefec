"""The bus over Redis: publish and subscribe, on a server of its own, a managed one, or a Redis Cluster.

Owns the supervision: one session at a time, a new one as soon as Redis is back, everything listened to again. The
invariant is that of `cluster.Bus`. Where the server is Redis 7 or newer, channels are sharded, so that in a Redis
Cluster each message passes through one shard only. When one server of a Redis Cluster fails, all are left and looked up
again: a while without a bus is repaired, a bus in parts would have to be told apart by everybody above.

Limit: `bus_queue_max_bytes` wait for Redis. Policy: what comes on top is dropped, and everything that waits once Redis
has been away for `KEEP_S`: by then those who listen have to be repaired anyway. Metric:
`sensorcast_bus_dropped_messages`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Collection
from typing import ClassVar, Final

import structlog
from redis.exceptions import RedisError

from sensorcast.cluster import Ears
from sensorcast.cluster.redis_address import RedisAddress
from sensorcast.cluster.redis_session import Session, Verbs, open_session
from sensorcast.metrics import BUS_DROPPED

CONNECT_S: Final = 0.5
"""Time a connection may take; twice that after one that took longer, for a Redis that is far away."""
RETRY_S: Final = 0.25
"""Time between two attempts, give or take half: back within a second of Redis, and no herd of nodes at one moment."""
KEEP_S: Final = 1.0
STOP_S: Final = 1.0
CHANNELS_PER_QUESTION: Final = 1_000
"""Redis counts the listeners of so many in a fraction of a millisecond, and does nothing else meanwhile."""

_ITEM_BYTES: Final = 128
"""What a waiting message costs besides its bytes."""
_STOPPED: Final = "the bus has stopped"

_log = structlog.get_logger(__name__)


class Outbox:
    """Messages that wait to be published, bounded by bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.filled = asyncio.Event()
        self.empty = asyncio.Event()
        self.empty.set()
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._messages: deque[tuple[bytes, bytes]] = deque()
        self._under_way = 0

    def put(self, channel: bytes, message: bytes) -> None:
        """Take a message, or drop it when there are too many."""
        size_bytes = len(channel) + len(message) + _ITEM_BYTES
        if self._size_bytes + size_bytes > self._max_bytes:
            BUS_DROPPED.inc()
            return
        self._size_bytes += size_bytes
        self._messages.append((channel, message))
        self.filled.set()
        self.empty.clear()

    def take(self, count: int) -> list[tuple[bytes, bytes]]:
        """Hand over the first `count`; until `sent` or `lost` they are under way."""
        taken = [self._messages.popleft() for _ in range(min(count, len(self._messages)))]
        self._size_bytes -= sum(len(channel) + len(message) + _ITEM_BYTES for channel, message in taken)
        self._under_way += len(taken)
        if not self._messages:
            self.filled.clear()
        return taken

    def sent(self, count: int) -> None:
        """So many of those under way have arrived."""
        self._under_way -= count
        if not self._under_way and not self._messages:
            self.empty.set()

    def lost(self) -> None:
        """Whatever was under way may have arrived or not: it is not sent again."""
        BUS_DROPPED.inc(self._under_way)
        self.sent(self._under_way)

    def clear(self) -> None:
        """Drop everything. Only while nothing is under way."""
        self.take(len(self._messages))
        self.lost()


class RedisBus:
    """A bus over the Redis at `address`; what its channels are called there begins with `prefix` and a colon."""

    echoes = True
    tells_ends = False
    verbs: ClassVar[Verbs | None] = None
    """The kind of its channels; None: the best that the server has."""

    def __init__(self, address: RedisAddress, *, prefix: str, queue_max_bytes: int, silence_s: float) -> None:
        self._address = address
        self._prefix = f"{prefix}:"
        self._silence_s = silence_s
        self._outbox = Outbox(queue_max_bytes)
        self._wanted: dict[bytes, str] = {}
        self._ears: Ears | None = None
        self._session: Session | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._trouble: str | None = "not connected to Redis yet"
        self._deaf_since_s: float | None = None
        self._is_deafness_told = False

    async def start(self, ears: Ears) -> None:
        """Begin to connect; returns without waiting for a connection. End it with `stop`."""
        self._ears = ears
        self._deaf_since_s = asyncio.get_running_loop().time()
        self._supervisor = asyncio.create_task(self._supervise(), name="sensorcast-redis")

    async def stop(self) -> None:
        """Send what is waiting, for at most a second, and close."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        if self._session is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._outbox.empty.wait()
        self._ears, self._trouble = None, _STOPPED
        supervisor.cancel()
        await asyncio.wait({supervisor})

    def publish(self, channel: str, message: bytes) -> None:
        """Send `message` to every node that listens to `channel`."""
        if self._supervisor is None:
            BUS_DROPPED.inc()
        elif self._session is None and self._is_long_deaf():
            BUS_DROPPED.inc()
            self._outbox.clear()
        else:
            self._outbox.put(self._name(channel), message)

    def is_heard(self, channel: str) -> bool:
        """Always true: who begins to listen at this moment is known to Redis alone, and is asked for by `unheard`."""
        return True

    async def unheard(self, channels: Collection[str]) -> Collection[str]:
        """Give those of `channels` that had no listener at all at one moment between the call and the answer."""
        names = {self._name(channel): channel for channel in channels}
        asked = [name for name in names if name not in self._wanted]  # what we listen to has a listener
        silent: list[str] = []
        for start in range(0, len(asked), CHANNELS_PER_QUESTION):
            if self._session is None:
                break
            counts = await self._session.listeners(asked[start : start + CHANNELS_PER_QUESTION])
            silent += [names[name] for name, count in counts.items() if count == 0 and name in names]
        return silent

    def listen(self, channel: str) -> None:
        """Begin to listen; `Ears.listening` says when it holds. Again is harmless."""
        name = self._name(channel)
        if name not in self._wanted:
            self._wanted[name] = channel
            if self._session is not None:
                self._session.subscribe([name])

    def unlisten(self, channel: str) -> None:
        """Listen no more; harmless when it was not listened to."""
        name = self._name(channel)
        if self._wanted.pop(name, None) is not None and self._session is not None:
            self._session.unsubscribe(name)

    def trouble(self) -> str | None:
        """None while connected; otherwise why not."""
        return self._trouble

    def _name(self, channel: str) -> bytes:
        return (self._prefix + channel).encode()

    def _is_long_deaf(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self._deaf_since_s is not None and now_s - self._deaf_since_s > KEEP_S

    async def _supervise(self) -> None:
        timeout_s = CONNECT_S
        while True:
            try:
                await self._attempt(timeout_s)
            except (RedisError, OSError) as exc:  # TimeoutError is one of the latter
                timeout_s = 2 * CONNECT_S if isinstance(exc, TimeoutError) else CONNECT_S
                self._note_loss(str(exc) or "no answer")
            except Exception as exc:
                _log.exception("bus_failed")
                self._note_loss(repr(exc))
            await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 spreads nodes, guards nothing

    async def _attempt(self, timeout_s: float) -> None:
        """Be connected for as long as it lasts; the end is always an error."""
        session = await open_session(
            self._address,
            self._outbox,
            verbs=self.verbs,
            timeout_s=timeout_s,
            silence_s=self._silence_s,
            heard=self._heard,
            listening=self._listening,
        )
        self._session = session
        session.subscribe(self._wanted.keys())
        self._settle()
        try:
            await session.run()
        except ExceptionGroup as group:
            raise _first(group) from None
        finally:
            self._session = None
            self._outbox.lost()

    def _settle(self) -> None:
        """Say that all is well, once everything that was to be listened to is."""
        if self._session is not None and self._session.is_settled and self._trouble is not None:
            self._trouble = self._deaf_since_s = None
            self._is_deafness_told = False
            _log.info("bus_connected", bus=str(self._address))

    def _note_loss(self, reason: str) -> None:
        """Tell once for each time that the connection is lost, and never the address as it was configured."""
        self._trouble = f"{self._address}: {reason}"
        if self._deaf_since_s is None:
            self._deaf_since_s = asyncio.get_running_loop().time()
        if not self._is_deafness_told:
            self._is_deafness_told = True
            _log.warning("bus_lost", bus=str(self._address), reason=reason)
            if self._ears is not None:
                self._ears.deaf(self._trouble)

    def _heard(self, name: bytes, message: bytes) -> None:
        channel = self._wanted.get(name)
        if channel is not None and self._ears is not None:
            self._ears.heard(channel, message)

    def _listening(self, name: bytes) -> None:
        channel = self._wanted.get(name)
        if channel is not None and self._ears is not None:
            self._ears.listening(channel)
        self._settle()


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Give the first error of a group that may hold groups."""
    found: Exception = group
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found
