"""Several nodes as one: the bus between them, and what passes over it.

Owns the contract of a bus, which carries bytes on named channels and knows nothing of readings. The invariant behind
it: whoever was told that a channel is listened to misses nothing on it until it is told that the bus is deaf. Two
implementations: `local` (processes of one machine; a single process is a bus without peers) and `redis`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Ears(Protocol):
    """Who listens to a bus. Every method is a plain `def`, is called on the event loop and must not raise."""

    def heard(self, channel: str, message: bytes) -> None:
        """A message arrived on a channel that is listened to. Nothing of it was checked."""
        ...

    def listening(self, channel: str) -> None:
        """From now on, and until `deaf`, nothing published on `channel` is missed."""
        ...

    def deaf(self, reason: str) -> None:
        """Anything may have been missed on every channel; `listening` follows for each once the bus is back."""
        ...


class Bus(Protocol):
    """Carries messages between nodes. At most once: what is published while somebody is deaf does not reach it later.

    - Order: messages of one node on one channel arrive in the order in which they were published.
    - Never waits: `publish`, `listen` and `unlisten` are plain and return at once; what cannot be sent is dropped and
      counted (`sensorcast_bus_dropped_messages`), within the limit `bus_queue_max_bytes`.
    - Echo: where `echoes` is true, a node hears what it publishes on a channel that it listens to.
    - Supervised: a bus that lost its connection comes back by itself, within a second of the other side's return,
      and listens again to everything it listened to.
    """

    echoes: bool
    """Whether a node hears its own messages: the proof that it is heard."""
    tells_ends: bool
    """Whether it says `deaf` by itself when another node has ended without a word."""

    async def start(self, ears: Ears) -> None:
        """Begin to connect; returns without waiting for a connection. End it with `stop`."""
        ...

    async def stop(self) -> None:
        """Send what is waiting, for at most a second, and close."""
        ...

    def publish(self, channel: str, message: bytes) -> None:
        """Send `message` to every node that listens to `channel`."""
        ...

    def is_heard(self, channel: str) -> bool:
        """False when it is certain that nobody else listens to `channel`, so that nothing need be encoded for it."""
        ...

    async def unheard(self, channels: Collection[str]) -> Collection[str]:
        """Give those of `channels` that had no listener at all at one moment between the call and the answer.

        Who begins to listen later is told so later (`Ears.listening`): then whatever was known when this was called is
        for the store to say. An empty answer is always right.
        """
        ...

    def listen(self, channel: str) -> None:
        """Begin to listen; `Ears.listening` says when it holds. Again is harmless."""
        ...

    def unlisten(self, channel: str) -> None:
        """Listen no more; harmless when it was not listened to."""
        ...

    def trouble(self) -> str | None:
        """None while everything published gets out and everything listened to is heard; otherwise why not."""
        ...
