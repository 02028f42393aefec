"""The outermost door: bounds every HTTP request before any of our code sees it.

Owns the limits on request heads (`header_max_bytes`, `header_max_count`, `header_timeout_s`) and the time of bodies
(`body_timeout_s`) on top of uvicorn's HTTP protocol, which has none of its own. The invariant: a peer that drips,
floods or never finishes a head or a body holds one socket for its timeout at most, and bytes of one head at most
`header_max_bytes` plus one read; and one that takes nothing of its answer for `outbound_stall_s` holds none. A request
that arrives whole and whose answer the socket takes, as almost all do, costs no timer.
A plain one that is alone on its connection may take the `short_way`, without uvicorn; in any doubt uvicorn gets the
same bytes.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum, auto
from typing import ClassVar, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from sensorcast.http_errors import ANSWER_LINES
from sensorcast.settings import Settings
from sensorcast.transport.census import Network
from sensorcast.transport.handover import Handover
from sensorcast.transport.short_way import ShortCycle, ShortWay
from sensorcast.transport.websocket import WebSocketCarrier

_TOO_LARGE: Final = "Request head too large (settings header_max_bytes, header_max_count)."


UNREAD_BODY_S: Final = 2.0
"""Time for the rest of a body whose request is answered already: enough to read the answer before the end."""


class _Stage(Enum):
    """What of a request comes next."""

    HEAD = auto()
    BODY = auto()
    NOTHING = auto()
    """It is complete; uvicorn's keep-alive timeout runs until the next one begins."""


class GuardedHttpProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with bounded requests. Bind settings with `guarded_http_class`."""

    settings: ClassVar[Settings]
    handover: ClassVar[Handover | None] = None
    """The way to the other workers; None when there are none."""
    short_way: ClassVar[ShortWay | None] = None
    network: Network | None = None
    """Where the connection is counted, when the doorkeeper has let it in."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._stage = _Stage.HEAD
        self._head_bytes = self._read_bytes = self._body_bytes = 0
        self._answered_s = -math.inf
        # The first head must come soon after the connection; later ones begin under uvicorn's keep-alive timeout.
        self._timer: asyncio.TimerHandle | None = None
        self._arm(self.settings.header_timeout_s)
        self._reader_timer: asyncio.TimerHandle | None = None

    def _arm(self, timeout_s: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(timeout_s, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.short_way is not None and self._goes_short(self.short_way, data):
            return
        self._body_bytes = 0
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._stage is _Stage.BODY:
            self._arm(self.settings.body_timeout_s)
        elif self._stage is _Stage.HEAD:
            self._arm(self.settings.header_timeout_s)
            # Still in the head after all of it was parsed: what of this read was no body belonged to a head.
            self._read_bytes += len(data) - self._body_bytes
            if self._read_bytes > self.settings.header_max_bytes:
                self._refuse_head()
        elif self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            # Line breaks before a request that has not begun: they have stopped uvicorn's timeout.
            self._arm(self.settings.header_timeout_s)

    def _goes_short(self, short_way: ShortWay, data: bytes) -> bool:
        """Have a request answered the short way, if nothing else is under way and it is plain."""
        before = self.cycle
        if not ((before is None or before.response_complete) and self._is_between_requests()):
            return False
        head = short_way.head(data, self.settings)
        if head is None:
            return False
        self._disarm()
        cycle = ShortCycle(self)
        self.cycle = cast(RequestResponseCycle, cycle)  # before the answer, which may come at once
        if not short_way.take(head, data[head.size_bytes :], cycle.answer):
            self.cycle = before
            return False
        return True

    def short_answer_written(self) -> None:
        """Go on to what comes next, as uvicorn does.

        But the timer of an idle connection stays as it is: to stop and start one for each request costs more than to
        look, when it ends, whether there was one meanwhile.
        """
        self._answered_s = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline:
            self.on_response_complete()
            return
        self._watch_last_bytes()
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        is_idle = self.cycle is None or self.cycle.response_complete
        left_s = self._answered_s + self.timeout_keep_alive - self.loop.time() if is_idle else self.timeout_keep_alive
        if is_idle and left_s <= 0:
            super().timeout_keep_alive_handler()
            self._watch_last_bytes()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)

    def _is_between_requests(self) -> bool:
        """Whether uvicorn has answered all, and its parser has nothing of a next request yet."""
        parsed = self._stage is _Stage.NOTHING or (self._stage is _Stage.HEAD and self._read_bytes == 0)
        return (
            parsed
            and not self.parser.should_upgrade()
            and not self.pipeline
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage = _Stage.HEAD
        self._head_bytes = self._read_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_head(len(name) + len(value))

    def _count_head(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_is_too_large():
            # The parser turns this into its own error, and `send_400_response` below answers it.
            raise ValueError(_TOO_LARGE)

    def _head_is_too_large(self) -> bool:
        headers = self.headers or ()
        return self._head_bytes > self.settings.header_max_bytes or len(headers) > self.settings.header_max_count

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._stage = _Stage.BODY
        self._disarm()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_last_bytes()
        # Not when the body under way is that of the next request already.
        if self._stage is _Stage.BODY and self.cycle.response_complete:
            self._disarm()
            self._arm(UNREAD_BODY_S)

    def on_message_complete(self) -> None:
        # Also before an upgrade: the protocol that the socket goes to has deadlines of its own.
        self._stage = _Stage.NOTHING
        self._disarm()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._let_reader_be()  # whoever gets the socket has a watch of its own
        if self.handover is not None:
            head = self._upgrade_head()
            destination = self.handover.destination(head)
            if destination is not None:
                self.handover.offer(self.transport, head, destination, self._upgrade_here)
                return
        self._upgrade_here()

    def _upgrade_head(self) -> bytes:
        """Write the head of the upgrade request again, as the one that takes the connection over reads it."""
        lines = [b"%s: %s\r\n" % pair for pair in self.scope["headers"]]
        return b"".join([self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n", *lines, b"\r\n"])

    def _upgrade_here(self) -> None:
        super().handle_websocket_upgrade()
        carrier = self.transport.get_protocol()
        if self.network is not None and isinstance(carrier, WebSocketCarrier):
            self.network.upgraded()
            carrier.network = self.network

    def send_400_response(self, msg: str) -> None:
        if self._head_is_too_large():
            self._refuse_head()
        else:
            self._refuse(400, msg)

    def _refuse_head(self) -> None:
        self._refuse(431, _TOO_LARGE)

    def _refuse(self, status: int, reason: str) -> None:
        fields = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(reason)).encode()),
            (b"connection", b"close"),
            *self.server_state.default_headers,
        ]
        lines = [b"%b: %b\r\n" % field for field in fields]
        self.transport.write(b"".join((STATUS_LINE[status], *lines, ANSWER_LINES, b"\r\n", reason.encode("ascii"))))
        self.transport.close()
        self._watch_last_bytes()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def _watch_last_bytes(self) -> None:
        """Watch the reader of a closing connection: without an end to it, it would stay open for the unsent bytes."""
        if self.transport.is_closing():
            self._watch_reader()

    def _watch_reader(self) -> None:
        """Cut the connection when the peer has taken nothing for `outbound_stall_s` of what is unsent from now on.

        Nothing more is written meanwhile: either the connection is closing, or writing is paused until the peer reads.
        """
        self._let_reader_be()
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes:
            self._reader_timer = self.loop.call_later(
                self.settings.outbound_stall_s, self._look_at_reader, unsent_bytes
            )

    def _look_at_reader(self, unsent_before_bytes: int) -> None:
        self._reader_timer = None
        if not (self.flow.write_paused or self.transport.is_closing()):
            return
        if self.transport.get_write_buffer_size() >= unsent_before_bytes:
            self.transport.abort()
        else:
            self._watch_reader()

    def _let_reader_be(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._let_reader_be()
        if self.network is not None:
            self.network.left_http()
        super().connection_lost(exc)


def guarded_http_class(
    settings: Settings, handover: Handover | None = None, short_way: ShortWay | None = None
) -> type[GuardedHttpProtocol]:
    """Make the class to give to `uvicorn.Config(http=...)` for these settings."""
    bound = {"settings": settings, "handover": handover, "short_way": short_way}
    return type("BoundHttpProtocol", (GuardedHttpProtocol,), bound)
