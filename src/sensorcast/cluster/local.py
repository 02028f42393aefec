"""The bus between the worker processes of one machine: each is connected to each, by Unix sockets in a private folder.

Owns the sockets and the tasks that keep the connections up. Every worker connects to every other to hear it, so a
connection carries what is listened to one way and messages the other. The invariants: a worker listens on its own
socket before it looks for the others, so of two that start at once at least one finds the other; a worker that cannot
be connected to is not there, and one that ends without a word makes the others say that they were deaf.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sensorcast.cluster import Ears
from sensorcast.cluster.mesh import Ear, Mouth, Peer, Presence
from sensorcast.cluster.worker import SOCKET_PATH_MAX_BYTES
from sensorcast.errors import ConfigurationError
from sensorcast.wire.mesh import encode_message

RETRY_S: Final = 0.1
"""Time between two looks for a worker that is not there; one that comes up also tells us itself."""
STOP_S: Final = 1.0
"""Time for what waits to be sent at the end."""
ANSWER_S: Final = 2.0
"""Time in which a living worker surely confirms what we listen to; beyond it something is wrong with it."""
QUEUE_MAX_BYTES: Final = 16 * 1024 * 1024


class LocalBus:
    """The bus of worker `index` of `count`, by sockets in `folder`. Alone (`count` 1) it carries and costs nothing."""

    echoes = False
    tells_ends = True

    def __init__(self, folder: Path | str, index: int, count: int, *, queue_max_bytes: int = QUEUE_MAX_BYTES) -> None:
        self._index = index
        self._own_path = _socket_path(Path(folder), index)
        self._queue_max_bytes = queue_max_bytes
        others = [other for other in range(count) if other != index]
        self._peers = {other: Peer(other, _socket_path(Path(folder), other), queue_max_bytes) for other in others}
        self._channels: dict[str, bool] = {}
        """What is listened to, and whether the ears know that it holds."""
        self._mouths: set[Mouth] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._ears: Ears | None = None

    async def start(self, ears: Ears) -> None:
        """Listen for the others and begin to connect to them. Raises `ConfigurationError` for a folder out of use."""
        self._ears = ears
        loop = asyncio.get_running_loop()
        if self._peers:
            _remove(self._own_path)  # of a worker of this number that was killed
            try:
                self._server = await loop.create_unix_server(
                    lambda: Mouth(self, self._queue_max_bytes), self._own_path, backlog=len(self._peers) * 4
                )
            except OSError as exc:
                raise ConfigurationError(f"cannot listen on {self._own_path}: {exc.strerror}") from exc
        self._tasks = [asyncio.create_task(self._keep_connected(peer)) for peer in self._peers.values()]
        self._announce_soon()

    async def stop(self) -> None:
        """Send what is waiting, for at most a second, and close."""
        self._ears = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            _remove(self._own_path)
        for peer in self._peers.values():
            if peer.ear is not None:
                peer.ear.close()
        await self._close_mouths()

    async def _close_mouths(self) -> None:
        for mouth in self._mouths:
            mouth.say_bye()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while self._mouths:
                    await next(iter(self._mouths)).closed
        for mouth in list(self._mouths):
            mouth.abort()

    # What the node asks for

    def publish(self, channel: str, message: bytes) -> None:
        """Send `message` to every worker that listens to `channel`."""
        hearing = [peer for peer in self._peers.values() if peer.hears(channel)]
        if not hearing:
            return
        encoded = encode_message(channel, message)
        for peer in hearing:
            peer.publish(channel, encoded)

    def is_heard(self, channel: str) -> bool:
        """False when it is certain that no other worker listens to `channel`."""
        # Asked for every reading: alone, the look at nobody would cost half of what taking a reading in does.
        return bool(self._peers) and any(peer.hears(channel) for peer in self._peers.values())

    async def unheard(self, channels: Collection[str]) -> Collection[str]:
        """Give none: `is_heard` has said of each of them that it is heard."""
        return ()

    def listen(self, channel: str) -> None:
        """Begin to listen; `Ears.listening` says when it holds. Again is harmless."""
        if channel in self._channels:
            return
        self._channels[channel] = False
        for peer in self._peers.values():
            if peer.ear is not None:
                peer.ear.ask(channel)
        self._announce_soon()

    def unlisten(self, channel: str) -> None:
        """Listen no more; harmless when it was not listened to."""
        if self._channels.pop(channel, None) is None:
            return
        for peer in self._peers.values():
            if peer.ear is not None:
                peer.ear.unask(channel)

    def trouble(self) -> str | None:
        """None while every worker that is there hears us and is heard; otherwise why not."""
        for peer in self._peers.values():
            if self._ears is None or peer.presence is Presence.UNKNOWN:
                return f"not connected to worker {peer.index}"
            if peer.ear is not None and peer.ear.unanswered_s(asyncio.get_running_loop().time()) > ANSWER_S:
                return f"worker {peer.index} does not answer"
            if peer.mouth is not None and peer.mouth.is_choking:
                return f"worker {peer.index} does not take what it is sent"
        return None

    # Keeping connected

    async def _keep_connected(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, ear = await loop.create_unix_connection(lambda: Ear(self, peer), peer.path)
            except (FileNotFoundError, ConnectionRefusedError):
                peer.presence = Presence.ABSENT
                peer.forget_waiting()
                self._announce()
            except OSError:
                pass  # it is there and busy: neither connected to nor gone
            else:
                await self._hear(peer, ear)
            with suppress(TimeoutError):
                await asyncio.wait_for(peer.news.wait(), RETRY_S)
            peer.news.clear()

    async def _hear(self, peer: Peer, ear: Ear) -> None:
        if not ear.closed.done():
            peer.presence, peer.ear = Presence.THERE, ear
            ear.greet(self._index, list(self._channels))
            self._announce()
        await ear.closed
        peer.news.clear()

    def greeted(self, mouth: Mouth, index: int) -> None:
        """Worker `index` listens to us: it is there, so it is time to listen to it."""
        peer = self._peers.get(index)
        if peer is None:
            mouth.abort()
            return
        if peer.mouth is not None:
            peer.mouth.abort()
        peer.mouth, mouth.peer = mouth, peer
        peer.news.set()

    def mouth_opened(self, mouth: Mouth) -> None:
        """Somebody connected to us."""
        self._mouths.add(mouth)

    def mouth_closed(self, mouth: Mouth) -> None:
        """Whoever listened does not any more."""
        self._mouths.discard(mouth)
        if mouth.peer is not None and mouth.peer.mouth is mouth:
            mouth.peer.mouth = None

    def ear_closed(self, peer: Peer, *, in_good_order: bool) -> None:
        """Nothing more comes from a worker; unless it said good-bye, what it had not sent yet is missing."""
        peer.ear, peer.presence = None, Presence.UNKNOWN
        if not in_good_order:
            self._deaf(f"worker {peer.index} ended without a word")

    def missed(self, peer: Peer) -> None:
        """A worker has given up messages to us."""
        self._deaf(f"worker {peer.index} had more for us than its queue holds (setting bus_queue_max_bytes)")

    # What the node is told

    def heard(self, channel: str, message: bytes) -> None:
        """A message of another worker."""
        if self._ears is not None:
            self._ears.heard(channel, message)

    def confirmed(self, peer: Peer, channel: str) -> None:
        """A worker sends us everything on `channel` from now on."""
        self._announce([channel])

    def _deaf(self, reason: str) -> None:
        if self._ears is None:
            return
        self._ears.deaf(reason)
        for channel in self._channels:
            self._channels[channel] = False
        self._announce()

    def _announce_soon(self) -> None:
        """Look what holds now, but not while somebody is in the midst of asking."""
        if self._ears is not None and self._channels:
            asyncio.get_running_loop().call_soon(self._announce)

    def _announce(self, channels: Sequence[str] | None = None) -> None:
        """Tell the ears of every channel on which nothing can be missed any more."""
        for channel in list(self._channels) if channels is None else channels:
            if self._ears is None:
                return
            if self._channels.get(channel) is False and all(p.is_settled(channel) for p in self._peers.values()):
                self._channels[channel] = True
                self._ears.listening(channel)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _socket_path(folder: Path, index: int) -> str:
    path = str(folder / f"bus-{index}")
    if len(path.encode()) > SOCKET_PATH_MAX_BYTES:
        raise ConfigurationError(f"the folder of the workers' sockets has too long a name: {folder}")
    return path
