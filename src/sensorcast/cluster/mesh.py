"""Both ends of a connection between two workers: the ear, which connects and hears, and the mouth, which speaks.

Owns the protocols and what one worker knows of another; `local` owns when they are made and what follows from it. The
invariants: a mouth never holds more than its limit, and what it gave up is told at the place where it is missing,
before anything later; what is published before another worker had the time to connect waits for it.
"""

from __future__ import annotations

import asyncio
import itertools
from enum import Enum, auto
from typing import Final, Protocol, cast

from sensorcast.metrics import BUS_DROPPED
from sensorcast.wire.errors import WireError
from sensorcast.wire.mesh import Kind, MeshFrame, MeshReader, encode, encode_number, encode_unlisten

_LOST: Final = encode(Kind.LOST)


class Presence(Enum):
    """What is known of another worker."""

    UNKNOWN = auto()
    """It may be there; nobody has looked since the last change."""
    THERE = auto()
    """Our ear is connected to it."""
    ABSENT = auto()
    """Nobody is there to connect to, so nothing can come from it, and nobody misses anything."""


class Listener(Protocol):
    """The bus, as its connections see it."""

    def greeted(self, mouth: Mouth, index: int) -> None:
        """Worker `index` listens to us."""
        ...

    def mouth_opened(self, mouth: Mouth) -> None:
        """Somebody connected to us."""
        ...

    def mouth_closed(self, mouth: Mouth) -> None:
        """Whoever listened does not any more."""
        ...

    def heard(self, channel: str, message: bytes) -> None:
        """A message of another worker."""
        ...

    def confirmed(self, peer: Peer, channel: str) -> None:
        """From now on everything that the other publishes on `channel` is heard."""
        ...

    def missed(self, peer: Peer) -> None:
        """The other has given up messages to us."""
        ...

    def ear_closed(self, peer: Peer, *, in_good_order: bool) -> None:
        """Nothing more comes from the other."""
        ...


class Peer:
    """Another worker: our ear to it, and our mouth for it."""

    def __init__(self, index: int, path: str, queue_max_bytes: int) -> None:
        self.index = index
        self.path = path
        self.presence = Presence.UNKNOWN
        self.ear: Ear | None = None
        self.mouth: Mouth | None = None
        self.news = asyncio.Event()
        """Set when it is worth to try again at once."""
        self._queue_max_bytes = queue_max_bytes
        self._waiting: list[tuple[str, bytes]] | None = []
        """What was published before it could listen; None once it is known not to be there, or does listen."""
        self._waiting_bytes = 0
        self._overflowed = False

    def is_settled(self, channel: str) -> bool:
        """Whether nothing that it publishes on `channel` can be missed."""
        if self.presence is Presence.ABSENT:
            return True
        return self.presence is Presence.THERE and self.ear is not None and self.ear.is_confirmed(channel)

    def hears(self, channel: str) -> bool:
        """Whether it listens to `channel`, or might."""
        return self._waiting is not None or (self.mouth is not None and channel in self.mouth.interests)

    def publish(self, channel: str, encoded: bytes) -> None:
        """Hand it a message that it listens to, or may want to."""
        if self._waiting is not None:
            self._keep(channel, encoded)
        elif self.mouth is not None and channel in self.mouth.interests:
            self.mouth.speak(encoded)

    def _keep(self, channel: str, encoded: bytes) -> None:
        waiting = self._waiting
        if waiting is None or self._overflowed or self._waiting_bytes + len(encoded) > self._queue_max_bytes:
            self._overflowed = True
            BUS_DROPPED.inc()
            return
        self._waiting_bytes += len(encoded)
        waiting.append((channel, encoded))

    def forget_waiting(self) -> None:
        """Nobody is there to whom it could be owed."""
        self._waiting, self._waiting_bytes, self._overflowed = None, 0, False

    def ready(self, mouth: Mouth) -> None:
        """It has said all that it listens to: give it what waited."""
        waiting, overflowed = self._waiting or (), self._overflowed
        self.forget_waiting()
        for channel, encoded in waiting:
            if channel in mouth.interests:
                mouth.speak(encoded)
        if overflowed:
            mouth.speak(_LOST)


class Ear(asyncio.Protocol):
    """Our end of a connection to another worker on which we hear it."""

    def __init__(self, bus: Listener, peer: Peer) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        self._bus = bus
        self._peer = peer
        self._reader = MeshReader()
        self._transport = cast(asyncio.WriteTransport, None)
        self._numbers = itertools.count(1)
        self._asked: dict[str, int] = {}
        self._unconfirmed: dict[int, str] = {}
        self._asked_at_s = 0.0
        self._bye = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def greet(self, own_index: int, channels: list[str]) -> None:
        """Say who we are and what we listen to."""
        self._transport.write(encode_number(Kind.HELLO, own_index))
        for channel in channels:
            self.ask(channel)
        self._transport.write(encode(Kind.READY))

    def ask(self, channel: str) -> None:
        """Ask for everything on `channel`."""
        if not self._unconfirmed:
            self._asked_at_s = asyncio.get_running_loop().time()
        number = self._asked[channel] = next(self._numbers)
        self._unconfirmed[number] = channel
        self._transport.write(encode_number(Kind.LISTEN, number, channel))

    def unask(self, channel: str) -> None:
        """Ask for nothing more on `channel`."""
        self._unconfirmed.pop(self._asked.pop(channel, 0), None)
        self._transport.write(encode_unlisten(channel))

    def is_confirmed(self, channel: str) -> bool:
        """Whether the other has said that it sends us all of `channel`."""
        number = self._asked.get(channel)
        return number is not None and number not in self._unconfirmed

    def unanswered_s(self, now_s: float) -> float:
        """For how long the other has owed us an answer."""
        return now_s - self._asked_at_s if self._unconfirmed else 0.0

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.receive(data):
                self._receive(frame)
        except WireError:
            self._transport.abort()

    def _receive(self, frame: MeshFrame) -> None:
        match frame.kind:
            case Kind.MESSAGE if frame.channel in self._asked:
                self._bus.heard(frame.channel, frame.message)
            case Kind.CONFIRM:
                channel = self._unconfirmed.pop(frame.number, None)
                if channel is not None:
                    self._bus.confirmed(self._peer, channel)
            case Kind.LOST:
                self._bus.missed(self._peer)
            case Kind.BYE:
                self._bye = True
            case _:
                pass  # a message on a channel that we have just left

    def close(self) -> None:
        """Hear nothing more."""
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        self._bus.ear_closed(self._peer, in_good_order=self._bye)


class Mouth(asyncio.Protocol):
    """Our end of a connection from another worker on which it hears us."""

    def __init__(self, bus: Listener, queue_max_bytes: int) -> None:
        self.interests: set[str] = set()
        self.peer: Peer | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self.is_choking = False
        """True while messages to the other are given up."""
        self._bus = bus
        self._queue_max_bytes = queue_max_bytes
        self._reader = MeshReader()
        self._transport = cast(asyncio.Transport, None)
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._queue_max_bytes // 2)
        self._bus.mouth_opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.receive(data):
                self._receive(frame)
        except WireError:
            self._transport.abort()

    def _receive(self, frame: MeshFrame) -> None:
        match frame.kind:
            case Kind.HELLO if self.peer is None:
                self._bus.greeted(self, frame.number)
            case Kind.LISTEN:
                self.interests.add(frame.channel)
                self._transport.write(encode_number(Kind.CONFIRM, frame.number))
            case Kind.UNLISTEN:
                self.interests.discard(frame.channel)
            case Kind.READY if self.peer is not None:
                self.peer.ready(self)
            case _:
                raise WireError("out of place")

    def speak(self, encoded: bytes) -> None:
        """Send a frame, or give it up when too much waits already."""
        if not self.is_choking and self._transport.get_write_buffer_size() + len(encoded) <= self._queue_max_bytes:
            self._transport.write(encoded)
            return
        BUS_DROPPED.inc()
        self.is_choking = True
        if not self._is_paused:
            self._tell_lost()

    def _tell_lost(self) -> None:
        """Say that something is missing here, and begin to send again."""
        self.is_choking = False
        self._transport.write(_LOST)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self.is_choking:
            self._tell_lost()

    def say_bye(self) -> None:
        """End in good order: what waits is sent, then the connection closes."""
        self._transport.write(encode(Kind.BYE))
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        self._bus.mouth_closed(self)
