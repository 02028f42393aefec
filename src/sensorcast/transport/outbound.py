"""The write half of a WebSocket: what leaves, what waits, and who is cut because it does not read.

Owns everything between a frame and the socket; `websocket` is the other half. The invariants: a flush is one
`transport.write`, and costs nothing else while the socket takes it; what is unsent is bounded (see `backlog`); a
carrier is in `endpoint.owing` exactly while its socket has not taken all it was given: bounds look at nobody else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport import connection as reasons
from sensorcast.transport.backlog import Backlog
from sensorcast.transport.connection import Connection
from sensorcast.wire.frame import Bundle, Frame

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint

CORK_MAX_BYTES: Final = 65_536
"""Bytes of answers to one read that are held back to leave together, before the socket must show that it takes them."""
ANY_BYTES: Final = 1
"""Unsent bytes above which the transport tells us. Not 0: a TLS transport compares with "at least"."""


class OutboundHalf(asyncio.Protocol):
    """Sends frames and flushes; the subclass makes the connection and ends it."""

    __slots__ = (
        "_backlog", "_blocked", "_closing", "_connection", "_corked", "_corked_bytes", "_deflate", "_endpoint",
        "_transport", "_watched", "_written_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self._endpoint: Endpoint | None = None
        self._connection: Connection | None = None
        self._transport = cast(asyncio.Transport, None)
        self._backlog: Backlog | None = None
        self._blocked = False
        """True while the socket has not taken everything."""
        self._written_bytes = 0
        """Bytes given to the socket since it blocked; what it had not taken then is the first of them."""
        self._corked: list[bytes] | None = None
        self._corked_bytes = 0
        self._deflate = False
        self._closing = False
        self._watched = False

    @property
    def writable(self) -> bool:
        return self._backlog is None and not self._closing

    @property
    def unsent_bytes(self) -> int:
        """What was handed to the socket and has not left."""
        return self._transport.get_write_buffer_size()

    def takes(self, frame: Frame) -> bool:
        backlog, endpoint = self._backlog, self._endpoint
        return backlog is None or endpoint is None or self._fits(backlog, endpoint, len(frame.websocket))

    def _fits(self, backlog: Backlog, endpoint: Endpoint, size_bytes: int) -> bool:
        """Whether so much more would keep within the hard limit."""
        owed_bytes = backlog.owed_bytes(self._written_bytes, self._drained_bytes())
        return owed_bytes + size_bytes <= endpoint.limits.outbound_hard_bytes

    def send(self, frame: Frame) -> None:
        self._write(frame.deflated if self._deflate else frame.websocket)

    def deliver(self, bundle: Bundle) -> None:
        data = bundle.deflated if self._deflate else bundle.websocket
        endpoint = self._endpoint
        if self._blocked or endpoint is None or len(data) > endpoint.limits.outbound_soft_bytes:
            self._deliver_slowly(bundle)
            return
        endpoint.outbound_bytes += len(data)
        if self._corked is None:
            self._transport.write(data)
        else:
            self._put(data)

    def _deliver_slowly(self, bundle: Bundle) -> None:
        """Frame by frame, because the socket can block between two of them; what may wait, waits conflated."""
        for frame in bundle.frames:
            backlog = self._backlog
            if backlog is None:
                self.send(frame)
                continue
            if not backlog.offer(frame):
                self.send(frame)
            elif backlog.lost and self._connection is not None:
                self._connection.slowed()

    def _write(self, data: bytes) -> None:
        if self._closing or self._endpoint is None:
            return
        if self._backlog is not None and not self._fits(self._backlog, self._endpoint, len(data)):
            self.cut("bytes")
            return
        self._endpoint.outbound_bytes += len(data)
        self._put(data)

    def _put(self, data: bytes) -> None:
        """The one way out besides `deliver`'s: at once, or with what else answers the read under way."""
        if self._corked is None:
            self._push(data)
            return
        self._corked.append(data)
        self._corked_bytes += len(data)
        if self._corked_bytes > CORK_MAX_BYTES:
            self._uncork()
            self._corked = []

    def _uncork(self) -> None:
        parts, self._corked, self._corked_bytes = self._corked, None, 0
        if parts:
            self._push(b"".join(parts))

    def _push(self, data: bytes) -> None:
        if self._blocked:
            self._written_bytes += len(data)
        self._transport.write(data)
        endpoint = self._endpoint
        if not self._blocked or self._backlog is not None or endpoint is None or self._closing:
            return
        if self.unsent_bytes > endpoint.limits.outbound_soft_bytes:
            self._wait_with(Backlog(endpoint.wheel.now_s), endpoint)

    def pause_writing(self) -> None:
        """Called by the transport when the socket does not take everything."""
        if self._endpoint is None or self._closing:
            return
        self._blocked = True
        self._written_bytes = self.unsent_bytes
        self._endpoint.owing.add(self)

    def _wait_with(self, backlog: Backlog, endpoint: Endpoint) -> None:
        """From now on batches are conflated, in `backlog`."""
        self._backlog = backlog
        backlog.begin(
            written_bytes=self._written_bytes,
            drained_bytes=self._drained_bytes(),
            soft_bytes=endpoint.limits.outbound_soft_bytes,
        )
        backlog.progress(endpoint.wheel.now_s)
        if not self._watched:
            self._watched = True
            endpoint.wheel.add(self, endpoint.wheel.now_s + endpoint.limits.outbound_stall_s / 4)

    def resume_writing(self) -> None:
        """Called by the transport when it has drained: send what waited, as long as it does not block again."""
        backlog, endpoint = self._backlog, self._endpoint
        if endpoint is None or self._closing:
            return
        self._blocked = False
        endpoint.owing.discard(self)
        if backlog is None:
            return
        # Without a backlog while writing, so that what is written is counted against no bound of before.
        self._backlog = None
        while backlog and not self._blocked:
            bundle = backlog.take(endpoint.limits.outbound_soft_bytes)
            self._write(bundle.deflated if self._deflate else bundle.websocket)
        if backlog or not self.writable:
            self._wait_with(backlog, endpoint)
        elif self._connection is not None:
            self._connection.restored()

    def _drained_bytes(self) -> int:
        return self._written_bytes - self.unsent_bytes

    def due(self, now_s: float) -> float | None:
        """Called by the wheel: a blocked socket that makes no progress ends."""
        backlog, endpoint = self._backlog, self._endpoint
        if self._closing or endpoint is None:
            return None
        if backlog is None:
            self._watched = False
            return None
        if backlog.stands_since(self._drained_bytes(), now_s) >= endpoint.limits.outbound_stall_s:
            self.cut("stall")
            return None
        return now_s + endpoint.limits.outbound_stall_s / 4

    def cut(self, bound: str) -> None:
        """End a connection that does not read, at once: what it is owed is given up. `bound` is what it has broken."""
        CLIENTS_CUT.labels(bound).inc()
        self._close_outbound()
        self._transport.abort()
        self._end(f"{reasons.TRANSPORT_CLOSED}: too slow")

    def _close_outbound(self) -> None:
        """Nothing more is taken for this socket, and it is owed nothing."""
        self._closing = True
        if self._endpoint is not None:
            self._endpoint.owing.discard(self)

    def _end(self, reason: str) -> None:
        """Close the socket, and the session it carries."""
        raise NotImplementedError
