"""HTTP long-polling, outbound: the queue of one session that waits for the client's next GET.

Owns the frames of one polling session between two GETs; `http` reads the requests and calls it. The invariants: one
GET waits at a time, each frame leaves in exactly one answer (and stays if the asker is gone before), and the queue is
bounded like a blocked socket: conflated above the soft limit, cut at the hard one.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport import connection as reasons
from sensorcast.transport.backlog import Backlog
from sensorcast.transport.connection import Connection
from sensorcast.transport.limits import Limits
from sensorcast.wire.engineio import CLOSE, NOOP, encode_payload
from sensorcast.wire.frame import Bundle, Frame


class PollingCarrier:
    """The outbound queue of one polling session. A GET calls `wait`, and `take` when that is done."""

    __slots__ = (
        "_backlog", "_closing", "_frames", "_limits", "_queued_bytes", "_waiter", "connection", "pushing", "upgrading"
    )  # fmt: skip
    name: ClassVar[str] = "polling"

    def __init__(self, limits: Limits) -> None:
        self.connection: Connection | None = None
        self.pushing = False
        """True while a POST of this session is being read."""
        self._limits = limits
        self._frames: list[Frame] = []
        self._queued_bytes = 0
        self._backlog: Backlog | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._closing = False
        self.upgrading = False
        """True while a WebSocket is about to take over."""

    @property
    def writable(self) -> bool:
        return self._backlog is None and not self._closing

    @property
    def is_polled(self) -> bool:
        """True while a GET waits."""
        return self._waiter is not None

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
        frames, self._frames, self._queued_bytes = self._frames, [], 0
        self._refill()
        return encode_payload(frames or [NOOP])

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def send(self, frame: Frame) -> None:
        if self._closing:
            return
        self._queue(frame)
        if self._queued_bytes > self._limits.outbound_hard_bytes and self.connection is not None:
            CLIENTS_CUT.labels("bytes").inc()
            self.connection.close(f"{reasons.TRANSPORT_CLOSED}: too slow")

    def _queue(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._queued_bytes += len(frame.text) + sum(map(len, frame.attachments))
        self._wake()

    def deliver(self, bundle: Bundle) -> None:
        for frame in bundle.frames:
            if self._backlog is None and self._queued_bytes <= self._limits.outbound_soft_bytes:
                self.send(frame)
            else:
                self._conflate(frame)

    def _conflate(self, frame: Frame) -> None:
        backlog = self._backlog = self._backlog or Backlog(0, 0.0)
        lost_before = backlog.lost
        if not backlog.offer(frame):
            self.send(frame)
        elif backlog.lost and not lost_before and self.connection is not None and self.connection.handler is not None:
            self.connection.handler.slowed()

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
        elif backlog.lost and self.connection is not None and self.connection.handler is not None:
            self.connection.handler.restored()

    def begin_upgrade(self) -> None:
        """Let the waiting GET go, and every later one at once: the client pauses polling before it upgrades."""
        self.upgrading = True
        self._wake()

    def cancel_upgrade(self) -> None:
        """The WebSocket that probed is gone; polling goes on as before."""
        self.upgrading = False

    def finish_upgrade(self) -> tuple[list[Frame], bool]:
        """End this carrier in favour of a WebSocket; return what has not been sent, and whether batches were lost."""
        self._closing = True
        frames, self._frames, self._queued_bytes = self._frames, [], 0
        backlog, self._backlog = self._backlog, None
        while backlog:
            frames.extend(backlog.take(self._limits.outbound_soft_bytes).frames)
        self._wake()
        return frames, backlog is not None and backlog.lost

    def close(self, reason: str) -> None:
        if self._closing:
            return
        # A client that closed by itself needs only an answer; any other is told.
        self._queue(NOOP if reason == reasons.TRANSPORT_CLOSED else CLOSE)
        self._closing = True
