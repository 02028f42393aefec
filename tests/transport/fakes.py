"""Parts that stand for the outside of the transport: a socket that may block, a peer, an application, a request.

Nothing here is a mock of our own code: a `FakeTransport` is a write buffer, a `Peer` speaks real WebSocket with the
client half of `websockets`, and `Wheel.live` passes time without waiting.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.base import ClientExtensionFactory
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from sensorcast.transport.connection import Connection
from sensorcast.transport.endpoint import Endpoint, Handshake
from sensorcast.transport.limits import Limits
from sensorcast.transport.websocket import WebSocketCarrier, websocket_class
from sensorcast.transport.wheel import TimerWheel
from sensorcast.wire.errors import WireError
from sensorcast.wire.frame import Bundle, Conflation, Frame

PATH = "/engine.io/"


class FakeTransport(asyncio.Transport):
    """A socket's write side: takes everything at once, or nothing while `blocked`."""

    def __init__(self, *, blocked: bool = False) -> None:
        super().__init__({"peername": ("192.0.2.7", 5_000)})
        self.protocol: Any = None
        self.blocked = blocked
        self.sent = bytearray()
        self.writes = 0
        self.unsent = bytearray()
        self.high = 65_536
        self.closing = self.aborted = self.paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        if not self.blocked and not self.unsent:
            self.sent += data
            return
        self.unsent += data
        if len(self.unsent) > self.high and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def drain(self, size: int | None = None) -> None:
        """Let the peer read `size` bytes, or everything there is and will be."""
        self.blocked = size is not None
        taken = self.unsent[:size]
        del self.unsent[: len(taken)]
        self.sent += taken
        if self.paused and len(self.unsent) <= self.high // 4:
            self.paused = False
            self.protocol.resume_writing()

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing


class Recorder:
    """An application above a connection that keeps what reaches it; the message `bad` is a violation."""

    def __init__(self, connection: Connection, handshake: Handshake, *, connect_by_s: float | None = None) -> None:
        self.connection = connection
        self.handshake = handshake
        self.connect_by_s = connect_by_s
        self.messages: list[str | bytes] = []
        self.events: list[str] = []

    def receive(self, message: str | bytes) -> None:
        if message == "bad":
            raise WireError("bad message")
        self.messages.append(message)

    def slowed(self) -> None:
        self.events.append("slowed")

    def restored(self) -> None:
        self.events.append("restored")

    def closed(self, reason: str) -> None:
        self.events.append(f"closed: {reason}")


class FakeCarrier:
    """A carrier that keeps what it was given."""

    name = "websocket"

    def __init__(self) -> None:
        self.writable = True
        self.takes_bytes = 1_000_000
        self.sent: list[Frame] = []
        self.closed: list[str] = []

    def takes(self, frame: Frame) -> bool:
        return len(frame.text) <= self.takes_bytes

    def send(self, frame: Frame) -> None:
        self.sent.append(frame)

    def deliver(self, bundle: Bundle) -> None:
        self.sent.extend(bundle.frames)

    def close(self, reason: str) -> None:
        self.closed.append(reason)

    @property
    def texts(self) -> list[str]:
        return [frame.text.decode() for frame in self.sent]


class Server:
    """An endpoint of bare Engine.IO messages whose time passes by hand; session ids are s0, s1, ..."""

    def __init__(self, **limits: Any) -> None:
        self.handlers: list[Recorder] = []
        numbers = itertools.count()
        self.endpoint = Endpoint(
            PATH, self._open, limits=Limits(**limits), kept_headers=("x-kept",), new_sid=lambda: f"s{next(numbers)}"
        )
        self.websocket_class = websocket_class([self.endpoint])

    def _open(self, connection: Connection, handshake: Handshake) -> Recorder:
        self.handlers.append(Recorder(connection, handshake))
        return self.handlers[-1]

    @property
    def sids(self) -> list[str]:
        return list(self.endpoint.connections)

    def live(self, seconds: float) -> None:
        """Let lived time pass, tick by tick."""
        live(self.endpoint.wheel, seconds)

    def connect(self, query: str = "EIO=4&transport=websocket", **options: Any) -> Peer:
        """Open a WebSocket as uvicorn would hand it over."""
        return Peer(self.websocket_class, f"{PATH}?{query}", **options)

    def probe(self, sid: str) -> Peer:
        """Open a WebSocket that asks to carry a session."""
        return self.connect(f"EIO=4&transport=websocket&sid={sid}")


def live(wheel: TimerWheel, seconds: float) -> None:
    """Advance a wheel by whole ticks until `seconds` have been lived."""
    end_s = wheel.now_s + seconds - wheel.tick_s / 2
    while wheel.now_s < end_s:
        wheel.advance()


class Peer:
    """The client half of one WebSocket over a fake transport; `received` is what came since it was last looked at."""

    def __init__(
        self,
        carrier_class: type[WebSocketCarrier],
        target: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        extensions: Sequence[ClientExtensionFactory] = (),
        blocked: bool = False,
    ) -> None:
        self.protocol = ClientProtocol(
            parse_uri(f"ws://server.test{target}"), extensions=list(extensions), max_size=None
        )
        self.transport = FakeTransport()
        self.carrier = carrier_class(None, None, None)
        self.transport.protocol = self.carrier
        self.response: Response | None = None
        request = self.protocol.connect()
        for name, value in headers:
            request.headers[name] = value
        self.protocol.send_request(request)
        self.carrier.connection_made(self.transport)
        self._frames: list[WebSocketFrame] = []
        self._push()
        self._pull()
        self.transport.blocked = blocked

    def _push(self) -> None:
        self.carrier.data_received(b"".join(self.protocol.data_to_send()))

    def raw(self, data: bytes) -> None:
        """Send bytes that a real client would not."""
        self.carrier.data_received(data)

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self._push()

    def vanish(self) -> None:
        """Lose the connection, as asyncio reports it."""
        self.transport.closing = True
        self.carrier.connection_lost(None)

    def _pull(self) -> None:
        """Parse what came with the real client half, which refuses what no server may send."""
        if data := bytes(self.transport.sent):
            self.transport.sent.clear()
            self.protocol.receive_data(data)
        assert self.protocol.parser_exc is None, self.protocol.parser_exc
        for event in self.protocol.events_received():
            if isinstance(event, WebSocketFrame):
                self._frames.append(event)
            else:
                assert isinstance(event, Response)
                self.response = event

    def frames(self) -> list[WebSocketFrame]:
        """Frames that came since the last look."""
        self._pull()
        found, self._frames = self._frames, []
        return found

    @property
    def received(self) -> list[str | bytes]:
        """Messages that came, the handshake packet left out."""
        messages = [
            bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
            for frame in self.frames()
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY}
        ]
        return [message for message in messages if not (isinstance(message, str) and message.startswith("0{"))]

    @property
    def status(self) -> int:
        """The status of the answer to the handshake."""
        assert self.response is not None
        return self.response.status_code

    @property
    def close_code(self) -> int | None:
        """The code of the close frame that came, if one came."""
        self._pull()
        return None if self.protocol.close_rcvd is None else self.protocol.close_rcvd.code


def batch(unit: str, rank: int, size: int = 0) -> Frame:
    """A frame of a flush: the batch of a unit, which a later one may replace."""
    return Frame(f'42["batch","{unit}",{rank}]'.encode() + b" " * size, conflation=Conflation(unit, rank))


def flush(*frames: Frame) -> Bundle:
    """The frames of one flush, joined."""
    return Bundle(frames)
