"""The fast path: a WebSocket as an asyncio protocol that uvicorn hands the socket to at the upgrade.

Owns one TCP connection from the upgrade to its end, and what comes in; what goes out is `outbound`. Inbound frames go
through the Sans-I/O `websockets` protocol (RFC 6455: masks, limits, control frames, close codes). The invariant: a peer
that breaks the protocol is closed without touching any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from websockets.frames import Frame as InboundFrame
from websockets.frames import Opcode
from websockets.protocol import OPEN

from sensorcast.transport import connection as reasons
from sensorcast.transport.census import Network, peer_address
from sensorcast.transport.connection import Connection
from sensorcast.transport.inbound import InboundProtocol
from sensorcast.transport.opening import Opening, may_deflate, open_websocket
from sensorcast.transport.outbound import ANY_BYTES, OutboundHalf
from sensorcast.wire.engine_session import Probe
from sensorcast.wire.engineio import PROBE_ANSWER, EnginePacket, PacketType, decode_text
from sensorcast.wire.errors import WireError

if TYPE_CHECKING:
    from sensorcast.transport.endpoint import Endpoint

LINGER_S: Final = 2.0
"""Time a closing socket has to take our last bytes before it is aborted."""
READ_SLICE_BYTES: Final = 4_096
"""Bytes parsed before what they say is judged: a whole read of the smallest frames would be 300 ms of parsing."""


class WebSocketCarrier(OutboundHalf):
    """One WebSocket. uvicorn makes it, `connection_made` and `data_received` with the request head follow."""

    __slots__ = ("_fragments", "_linger", "_probe", "_protocol", "network")
    endpoints: ClassVar[Mapping[str, Endpoint]] = {}
    name: ClassVar[str] = "websocket"

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        # The arguments are uvicorn's. We do not join its connection set: the endpoint closes us, after the last flush.
        super().__init__()
        self.network: Network | None = None
        self._protocol = cast(InboundProtocol, None)
        self._fragments: list[bytes] | None = None
        self._probe: Probe | None = None
        self._linger: asyncio.TimerHandle | None = None

    # Opening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def _receive_head(self, data: bytes) -> None:
        opening = open_websocket(data, self.endpoints)
        self._put(opening.response)
        if opening.endpoint is None:
            self._shut()
        else:
            self._accept(opening.endpoint, opening)

    def _accept(self, endpoint: Endpoint, opening: Opening) -> None:
        self._endpoint = endpoint
        self._protocol = InboundProtocol(endpoint.limits.timing.max_payload_bytes)
        if opening.deflate is not None:
            self._protocol.extensions = [opening.deflate]
            self._deflate = may_deflate(opening.deflate)
        self._transport.set_write_buffer_limits(high=ANY_BYTES, low=0)
        sid = opening.query.get("sid")
        if sid is None:
            forwarded_for = opening.headers.get("x-forwarded-for", "")
            address = endpoint.proxies.client(peer_address(self._transport), forwarded_for)
            self._connection = endpoint.open(self, address=address, query=opening.query, headers=opening.headers)
        else:
            self._probe = Probe.WAITING
            self._connection = endpoint.connections[sid]
            endpoint.wheel.add(self, endpoint.wheel.now_s + endpoint.limits.timing.upgrade_timeout_s)

    # Inbound

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        # What answers one read leaves in one write: an accepted CONNECT and its greeting, or the acks of many events.
        self._corked = []
        if self._endpoint is None:
            self._receive_head(data)
        else:
            self._receive_slices(data)
        self._uncork()

    def _receive_slices(self, data: bytes) -> None:
        for start in range(0, len(data), READ_SLICE_BYTES):
            self._receive_frames(data[start : start + READ_SLICE_BYTES])
            if self._is_closing():
                return

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
        elif (opcode is Opcode.PING or opcode is Opcode.PONG) and self._connection is not None:
            self._receive_control(self._connection)

    def _receive_control(self, connection: Connection) -> None:
        """Count a WebSocket ping (the protocol has answered it) or pong, so that a flood of them is cut."""
        connection.receive(_COUNTED_ONLY)
        if connection.closed:
            self._fail(1008, "the session has ended")

    def _receive_fragment(self, fragments: list[bytes], frame: InboundFrame) -> None:
        fragments.append(bytes(frame.data))
        if frame.fin:
            self._fragments = None
            self._receive_message(b"".join(fragments[1:]), is_text=fragments[0] == b"t")
        elif self._endpoint is not None and len(fragments) > self._endpoint.limits.message_max_fragments:
            self._fail(1008, f"more than {self._endpoint.limits.message_max_fragments} fragments in one message")

    def _receive_message(self, data: bytes, *, is_text: bool) -> None:
        try:
            self._receive_packet(decode_text(data.decode()) if is_text else EnginePacket(PacketType.MESSAGE, data))
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
        state = self._probe.receive(packet)
        answered = state is Probe.ANSWERED
        if not (endpoint.begin_upgrade(connection) if answered else endpoint.upgrade(connection, self)):
            raise WireError("the session has ended, or another WebSocket carries it")
        self._probe = state if answered else None
        if answered:
            self.send(PROBE_ANSWER)

    def _is_closing(self) -> bool:
        return self._closing

    # Time and end

    def due(self, now_s: float) -> float | None:
        if self._probe is None or self._closing:
            return super().due(now_s)
        self._fail(1008, "upgrade not finished in time (setting upgrade_timeout_ms)")
        return None

    def _fail(self, code: int, reason: str) -> None:
        """Close for a violation: close frame and end of stream at once."""
        if self._closing:
            return
        self._protocol.fail(code, _close_reason(reason))
        self._flush_protocol()
        self._end(f"{reasons.PROTOCOL_ERROR}: {reason}")

    def close(self, reason: str) -> None:
        if self._closing:
            return
        if self._protocol.state is OPEN:
            self._protocol.send_close(_close_code(reason), _close_reason(reason))
            self._flush_protocol()
        self._shut()

    def _end(self, reason: str) -> None:
        connection, probe = self._connection, self._probe
        self._connection = None
        self._shut()
        if connection is None:
            return
        if probe is None:
            connection.close(reason)
        elif probe is Probe.ANSWERED and self._endpoint is not None:
            # A WebSocket that only probed was never the carrier: the polling session goes on.
            self._endpoint.cancel_upgrade(connection)

    def _shut(self) -> None:
        self._close_outbound()
        if self._linger is not None or self._transport.is_closing():
            return
        self._uncork()
        self._transport.close()
        self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def _flush_protocol(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self._put(data)

    def eof_received(self) -> None:
        """Nothing more will come. Without this a peer that half-closes and reads nothing would keep its socket."""
        self._end(reasons.TRANSPORT_CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._close_outbound()
        if self.network is not None:
            self.network.left()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._end(reasons.TRANSPORT_CLOSED)


_COUNTED_ONLY: Final = EnginePacket(PacketType.NOOP, "")


def _close_code(reason: str) -> int:
    """RFC 6455, 7.4.1: 1001 going away, 1008 policy violation, 1000 normal."""
    if reason == reasons.SERVER_CLOSED:
        return 1001
    return 1008 if reason.startswith(reasons.PROTOCOL_ERROR) else 1000


def _close_reason(reason: str) -> str:
    """RFC 6455, 5.5: a control frame holds 125 bytes, two of them for the code."""
    return reason.encode()[:123].decode(errors="ignore")


def websocket_class(endpoints: Sequence[Endpoint]) -> type[WebSocketCarrier]:
    """Make the class to give to `uvicorn.Config(ws=...)`, serving exactly these endpoints by path."""
    return type(
        "EndpointWebSocket", (WebSocketCarrier,), {"endpoints": {e.path: e for e in endpoints}, "__slots__": ()}
    )
