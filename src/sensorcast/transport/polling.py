"""HTTP long-polling, outbound: the queue of one session that waits for the client's next GET.

Owns the frames of one polling session between two GETs; `http` reads the requests and calls it. The invariants: one
GET waits at a time, each frame leaves in exactly one answer (and stays if the asker is gone before), and the queue is
bounded like a blocked socket: conflated above the soft limit, cut at the hard one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport import connection as reasons
from sensorcast.transport.backlog import Backlog
from sensorcast.transport.connection import Connection
from sensorcast.wire.engineio import CLOSE, NOOP, encode_payload
from sensorcast.wire.frame import Bundle, Frame

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint


class PollingCarrier:
    """The outbound queue of one polling session. A GET calls `wait`, and `take` when that is done."""

    __slots__ = (
        "_backlog", "_closing", "_counted_from_bytes", "_ended", "_endpoint", "_frames", "_limits", "_queued_bytes",
        "_waiter", "_watched", "connection", "upgrading",
    )  # fmt: skip
    name: ClassVar[str] = "polling"

    def __init__(self, endpoint: Endpoint) -> None:
        self.connection: Connection | None = None
        self._endpoint = endpoint
        self._limits = endpoint.limits
        self._frames: list[Frame] = []
        self._queued_bytes = 0
        self._counted_from_bytes = 0
        """Of these, what does not count against the hard limit (see `Backlog.begin`)."""
        self._backlog: Backlog | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closing = False
        self._watched = False
        self.upgrading = False
        """True while a WebSocket is about to take over."""

    @property
    def writable(self) -> bool:
        return self._backlog is None and not self._closing

    @property
    def unsent_bytes(self) -> int:
        """What waits for the next GET."""
        return self._queued_bytes

    @property
    def is_polled(self) -> bool:
        """True while a GET waits."""
        return self._waiter is not None

    @property
    def is_pushed(self) -> bool:
        """True while a POST is being read."""
        return self._ended is not None

    def begin_push(self) -> asyncio.Future[None]:
        """Become the POST that is read; done when the session ends before it. End it with `end_push`."""
        self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def end_push(self) -> None:
        """The POST was read, or its sender is gone."""
        self._ended = None

    def wait(self) -> asyncio.Future[None]:
        """Become the GET that waits; done as soon as there is something to take. End it with `take` or `leave`."""
        self._waiter = asyncio.get_running_loop().create_future()
        if self._frames or self.upgrading:
            self._waiter.set_result(None)
        return self._waiter

    def leave(self) -> None:
        """The GET that waited is gone; what there is to send stays."""
        self._waiter = None

    def take(self) -> bytes:
        """Hand over everything there is to send, as a polling body."""
        self._waiter = None
        frames = self._empty()
        self._refill()
        return encode_payload(frames or [NOOP])

    def _empty(self) -> list[Frame]:
        """Take everything out of the queue."""
        frames, self._frames, self._queued_bytes, self._counted_from_bytes = self._frames, [], 0, 0
        self._endpoint.owing.discard(self)
        return frames

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def takes(self, frame: Frame) -> bool:
        if self._queued_bytes <= self._limits.outbound_soft_bytes:
            return True
        owed_bytes = self._queued_bytes - self._counted_from_bytes
        return owed_bytes + _size_bytes(frame) <= self._limits.outbound_hard_bytes

    def send(self, frame: Frame) -> None:
        if self._closing:
            return
        was_within = self._queued_bytes <= self._limits.outbound_soft_bytes
        self._queue(frame)
        if was_within:
            self._counted_from_bytes = max(0, self._queued_bytes - self._limits.outbound_soft_bytes)
        elif self._queued_bytes - self._counted_from_bytes > self._limits.outbound_hard_bytes:
            self.cut("bytes")

    def cut(self, bound: str) -> None:
        """End a session that does not take what it is owed. `bound` is what it has broken."""
        if self.connection is not None and not self._closing:
            CLIENTS_CUT.labels(bound).inc()
            self._empty()
            self._backlog = None
            self.connection.close(f"{reasons.TRANSPORT_CLOSED}: too slow")

    def _queue(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._queued_bytes += _size_bytes(frame)
        if not self._closing:
            self._endpoint.owing.add(self)
        self._wake()

    def deliver(self, bundle: Bundle) -> None:
        for frame in bundle.frames:
            if self._backlog is None and self._queued_bytes <= self._limits.outbound_soft_bytes:
                self.send(frame)
            else:
                self._conflate(frame)

    def _conflate(self, frame: Frame) -> None:
        backlog = self._backlog
        if backlog is None:
            backlog = self._begin_backlog()
        if not backlog.offer(frame):
            self.send(frame)
        elif backlog.lost and self.connection is not None:
            self.connection.slowed()

    def _begin_backlog(self) -> Backlog:
        wheel = self._endpoint.wheel
        backlog = self._backlog = Backlog(wheel.now_s)
        if not self._watched:
            self._watched = True
            wheel.add(self, wheel.now_s + self._limits.outbound_stall_s / 4)
        return backlog

    def due(self, now_s: float) -> float | None:
        """Called by the wheel: a session that is owed batches, and does not come for what waits, ends."""
        if self._backlog is None or self._closing:
            self._watched = False
            return None
        if self._backlog.stands_since(0, now_s) >= self._limits.outbound_stall_s:
            self.cut("stall")
            return None
        return now_s + self._limits.outbound_stall_s / 4

    def _refill(self) -> None:
        """Put what waited conflated into the queue, now that it is empty."""
        backlog, self._backlog = self._backlog, None
        if backlog is None:
            return
        while backlog and self._queued_bytes <= self._limits.outbound_soft_bytes:
            for frame in backlog.take(self._limits.outbound_soft_bytes).frames:
                self._queue(frame)
        if backlog:
            self._backlog = backlog
            backlog.progress(self._endpoint.wheel.now_s)
        elif self.connection is not None:
            self.connection.restored()

    def begin_upgrade(self) -> None:
        """Let the waiting GET go, and every later one at once: the client pauses polling before it upgrades."""
        self.upgrading = True
        self._wake()

    def cancel_upgrade(self) -> None:
        """The WebSocket that probed is gone; polling goes on as before."""
        self.upgrading = False

    def finish_upgrade(self) -> list[Frame]:
        """End this carrier in favour of a WebSocket; return what has not been sent."""
        self._closing = True
        frames = self._empty()
        backlog, self._backlog = self._backlog, None
        while backlog:
            frames.extend(backlog.take(self._limits.outbound_soft_bytes).frames)
        self._wake()
        return frames

    def close(self, reason: str) -> None:
        if self._closing:
            return
        # A client that closed by itself needs only an answer; any other is told. The stock client forgets what comes
        # in one answer with CLOSE, as its DISCONNECT or the last batches: then it learns of the end by its next GET.
        if not self._frames:
            self._queue(NOOP if reason == reasons.TRANSPORT_CLOSED else CLOSE)
        self._closing = True
        self._endpoint.owing.discard(self)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


def _size_bytes(frame: Frame) -> int:
    return len(frame.text) + sum(map(len, frame.attachments))
