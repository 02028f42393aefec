"""The fast path: a WebSocket as an asyncio protocol that uvicorn hands the socket to at the upgrade.

Owns one TCP connection from the upgrade on. Inbound bytes go through the Sans-I/O `websockets` protocol (RFC 6455:
handshake, masks, limits, control frames, close codes); outbound frames are ours, encoded before they get here. The
invariants: a flush is one `transport.write`; a peer that breaks the protocol or does not read is closed without
touching any other; what is unsent is bounded (see `backlog`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from websockets.frames import Frame as InboundFrame
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from sensorcast.metrics import CLIENTS_CUT
from sensorcast.transport import connection as reasons
from sensorcast.transport.backlog import Backlog
from sensorcast.transport.connection import Connection
from sensorcast.transport.opening import Opening, may_deflate, open_websocket, read_request, restart_parser
from sensorcast.wire.engine_session import Probe
from sensorcast.wire.engineio import PROBE_ANSWER, EnginePacket, PacketType, decode_text
from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Bundle, Frame

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint

LINGER_S: Final = 2.0
"""Time a closing socket has to take our last bytes before it is aborted."""
_QUIET: Final = logging.getLogger("sensorcast.websocket")


class WebSocketCarrier(asyncio.Protocol):
    """One WebSocket. uvicorn makes it, `connection_made` and `data_received` with the request head follow."""

    __slots__ = (
        "_backlog",
        "_closing",
        "_connection",
        "_corked",
        "_deflate",
        "_endpoint",
        "_fragments",
        "_linger",
        "_probe",
        "_protocol",
        "_transport",
        "_watched",
        "_written_bytes",
    )
    endpoints: ClassVar[Mapping[str, Endpoint]] = {}
    name: ClassVar[str] = "websocket"

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        # The arguments are uvicorn's. We do not join its connection set: the endpoint closes us, after the last flush.
        self._endpoint: Endpoint | None = None
        self._connection: Connection | None = None
        self._protocol = ServerProtocol(logger=_QUIET)
        self._transport = cast(asyncio.Transport, None)
        self._fragments: list[bytes] | None = None
        self._backlog: Backlog | None = None
        self._probe: Probe | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._deflate = False
        self._closing = False
        self._watched = False
        self._written_bytes = 0
        self._corked: list[bytes] | None = None

    # Opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def _receive_request(self, data: bytes) -> None:
        protocol = self._protocol
        request = read_request(protocol, data)
        if request is None:
            self._answer(protocol.reject(400, "Bad request\n"))
            return
        opening = open_websocket(protocol, request, self.endpoints)
        if opening.endpoint is None:
            self._answer(opening.response)
        else:
            self._accept(opening.endpoint, opening)

    def _accept(self, endpoint: Endpoint, opening: Opening) -> None:
        self._endpoint = endpoint
        self._protocol.send_response(opening.response)
        restart_parser(self._protocol)
        self._deflate = may_deflate(self._protocol)
        self._transport.set_write_buffer_limits(high=endpoint.limits.outbound_soft_bytes)
        self._flush_protocol()
        sid = opening.query.get("sid")
        if sid is None:
            peer = self._transport.get_extra_info("peername")
            address = peer[0] if isinstance(peer, tuple) and peer else ""
            self._connection = endpoint.open(self, address=address, query=opening.query, headers=opening.headers)
        else:
            self._probe = Probe.WAITING
            self._connection = endpoint.connections[sid]
            endpoint.wheel.add(self, endpoint.wheel.now_s + endpoint.limits.timing.upgrade_timeout_s)

    def _answer(self, response: Response) -> None:
        self._protocol.send_response(response)
        self._flush_protocol()
        self._shut()

    # Inbound

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        # What answers one read leaves in one write: an accepted CONNECT and its greeting, or the acks of many events.
        self._corked = []
        if self._endpoint is None:
            self._receive_request(data)
        else:
            self._receive_frames(data)
        self._uncork()

    def _uncork(self) -> None:
        parts, self._corked = self._corked, None
        if parts:
            self._transport.write(b"".join(parts))

    def _put(self, data: bytes) -> None:
        if self._corked is None:
            self._transport.write(data)
        else:
            self._corked.append(data)

    def _receive_frames(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            # After the handshake every event is a frame.
            self._receive_frame(cast(InboundFrame, event))
            if self._is_closing():
                return
        if protocol.writes:
            self._flush_protocol()
        if protocol.parser_exc is not None:
            self._end(f"{reasons.PROTOCOL_ERROR}: {protocol.parser_exc}")
        elif protocol.state is not OPEN:
            self._end(reasons.TRANSPORT_CLOSED)

    def _receive_frame(self, frame: InboundFrame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if frame.fin:
                self._receive_message(bytes(frame.data), is_text=opcode is Opcode.TEXT)
            else:
                self._fragments = [b"t" if opcode is Opcode.TEXT else b"b", bytes(frame.data)]
        elif opcode is Opcode.CONT and self._fragments is not None:
            self._receive_fragment(self._fragments, frame)
        elif opcode is Opcode.PING and self._connection is not None and self._probe is None:
            # WebSocket pings are answered by the protocol; they are counted, so that a flood of them is cut.
            self._connection.receive(_COUNTED_ONLY)

    def _receive_fragment(self, fragments: list[bytes], frame: InboundFrame) -> None:
        fragments.append(bytes(frame.data))
        if frame.fin:
            self._fragments = None
            self._receive_message(b"".join(fragments[1:]), is_text=fragments[0] == b"t")
        elif self._endpoint is not None and len(fragments) > self._endpoint.limits.message_max_fragments:
            self._fail(1008, f"more than {self._endpoint.limits.message_max_fragments} fragments in one message")

    def _receive_message(self, data: bytes, *, is_text: bool) -> None:
        if not is_text:
            self._receive_packet(EnginePacket(PacketType.MESSAGE, data))
            return
        try:
            self._receive_packet(decode_text(data.decode()))
        except UnicodeDecodeError:
            self._fail(1007, "text message is not UTF-8")
        except WireError as exc:
            self._fail(1008, str(exc))

    def _receive_packet(self, packet: EnginePacket) -> None:
        if self._probe is not None:
            self._receive_probe(packet)
        elif self._connection is not None:
            self._connection.receive(packet)

    def _receive_probe(self, packet: EnginePacket) -> None:
        connection, endpoint = self._connection, self._endpoint
        if self._probe is None or connection is None or endpoint is None:
            return
        self._probe = self._probe.receive(packet)
        if self._probe is Probe.ANSWERED:
            self.send(PROBE_ANSWER)
            endpoint.begin_upgrade(connection)
        elif endpoint.upgrade(connection, self):
            self._probe = None
        else:
            raise WireError("the session has ended or was upgraded already")

    # Outbound

    @property
    def writable(self) -> bool:
        return self._backlog is None and not self._closing

    def _is_closing(self) -> bool:
        return self._closing

    def send(self, frame: Frame) -> None:
        self._write(frame.deflated if self._deflate else frame.websocket)

    def deliver(self, bundle: Bundle) -> None:
        data = bundle.deflated if self._deflate else bundle.websocket
        endpoint, size_bytes = self._endpoint, len(data)
        if self._backlog is None and endpoint is not None and size_bytes <= endpoint.limits.outbound_soft_bytes:
            self._written_bytes += size_bytes
            endpoint.outbound_bytes += size_bytes
            self._transport.write(data)
        else:
            self._deliver_slowly(bundle)

    def _deliver_slowly(self, bundle: Bundle) -> None:
        """Frame by frame, because the socket can block between two of them; what may wait, waits conflated."""
        for frame in bundle.frames:
            backlog = self._backlog
            if backlog is None:
                self.send(frame)
                continue
            lost_before = backlog.lost
            if not backlog.offer(frame):
                self.send(frame)
            elif backlog.lost and not lost_before:
                self._tell_slowed()

    def _tell_slowed(self) -> None:
        if self._connection is not None and self._connection.handler is not None:
            self._connection.handler.slowed()

    def _write(self, data: bytes) -> None:
        if self._closing or self._endpoint is None:
            return
        if self._backlog is not None:
            unsent = self._transport.get_write_buffer_size() + len(data)
            if unsent > self._endpoint.limits.outbound_hard_bytes:
                self._cut("bytes")
                return
        self._written_bytes += len(data)
        self._endpoint.outbound_bytes += len(data)
        self._put(data)

    def pause_writing(self) -> None:
        """Called by the transport above the soft limit: from now on batches are conflated."""
        endpoint = self._endpoint
        if endpoint is None or self._closing:
            return
        self._backlog = Backlog(self._drained_bytes(), endpoint.wheel.now_s)
        if not self._watched:
            self._watched = True
            endpoint.wheel.add(self, endpoint.wheel.now_s + endpoint.limits.outbound_stall_s / 4)

    def resume_writing(self) -> None:
        """Called by the transport when it has drained: send what waited, as long as it does not block again."""
        backlog, endpoint = self._backlog, self._endpoint
        if backlog is None or endpoint is None or self._closing:
            return
        # Without a backlog while writing, so that a socket that blocks again is seen: `pause_writing` puts a new one.
        self._backlog = None
        while backlog and self.writable:
            bundle = backlog.take(endpoint.limits.outbound_soft_bytes)
            self._write(bundle.deflated if self._deflate else bundle.websocket)
        if not self.writable:
            backlog.drained_bytes, backlog.progress_at_s = self._drained_bytes(), endpoint.wheel.now_s
            self._backlog = backlog
        elif backlog.lost and self._connection is not None and self._connection.handler is not None:
            self._connection.handler.restored()

    def _drained_bytes(self) -> int:
        return self._written_bytes - self._transport.get_write_buffer_size()

    # Time and end

    def due(self, now_s: float) -> float | None:
        """Called by the wheel: an upgrade that does not finish, or a blocked socket that makes no progress, ends."""
        endpoint = self._endpoint
        if self._closing or endpoint is None:
            return None
        if self._probe is not None:
            self._fail(1008, "upgrade not finished in time (setting upgrade_timeout_ms)")
            return None
        if self._backlog is None:
            self._watched = False
            return None
        return self._check_progress(self._backlog, endpoint, now_s)

    def _check_progress(self, backlog: Backlog, endpoint: Endpoint, now_s: float) -> float | None:
        drained_bytes = self._drained_bytes()
        if drained_bytes != backlog.drained_bytes:
            backlog.drained_bytes, backlog.progress_at_s = drained_bytes, now_s
        elif now_s - backlog.progress_at_s >= endpoint.limits.outbound_stall_s:
            self._cut("stall")
            return None
        return now_s + endpoint.limits.outbound_stall_s / 4

    def _cut(self, bound: str) -> None:
        CLIENTS_CUT.labels(bound).inc()
        self._closing = True
        self._transport.abort()
        self._end(f"{reasons.TRANSPORT_CLOSED}: too slow")

    def _fail(self, code: int, reason: str) -> None:
        """Close for a violation: close frame and end of stream at once."""
        if self._closing:
            return
        self._protocol.fail(code, reason[:120])
        self._flush_protocol()
        self._end(f"{reasons.PROTOCOL_ERROR}: {reason}")

    def close(self, reason: str) -> None:
        if self._closing:
            return
        if self._protocol.state is OPEN:
            self._protocol.send_close(_close_code(reason), reason[:120])
            self._flush_protocol()
        self._shut()

    def _end(self, reason: str) -> None:
        connection, probing = self._connection, self._probe is not None
        self._connection = None
        self._shut()
        if connection is None:
            return
        if not probing:
            connection.close(reason)
        elif self._endpoint is not None:
            # A WebSocket that only probed was never the carrier: the polling session goes on.
            self._endpoint.cancel_upgrade(connection)

    def _shut(self) -> None:
        if self._linger is not None or self._transport.is_closing():
            self._closing = True
            return
        self._closing = True
        self._uncork()
        self._transport.close()
        self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def _flush_protocol(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self._put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._end(reasons.TRANSPORT_CLOSED)

    def shutdown(self) -> None:
        """For uvicorn, which ends what it tracks; we are not tracked, the endpoint closes us after the last flush."""


_COUNTED_ONLY: Final = EnginePacket(PacketType.NOOP, "")


def _close_code(reason: str) -> int:
    """RFC 6455, 7.4.1: 1001 going away, 1008 policy violation, 1000 normal."""
    if reason == reasons.SERVER_CLOSED:
        return 1001
    return 1008 if reason.startswith(reasons.PROTOCOL_ERROR) else 1000


def websocket_class(endpoints: Sequence[Endpoint]) -> type[WebSocketCarrier]:
    """Make the class to give to `uvicorn.Config(ws=...)`, serving exactly these endpoints by path."""
    return type(
        "EndpointWebSocket", (WebSocketCarrier,), {"endpoints": {e.path: e for e in endpoints}, "__slots__": ()}
    )
