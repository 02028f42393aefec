"""Raw Engine.IO and Socket.IO clients: they do what the test says, and hide nothing that comes back.

Owns the polling client, the websocket client and `Target`, the server under test as a test sees it. A client answers
heartbeats only while the test waits in its `receive`; everything else is up to the test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakSet

from . import frames
from .wire import DEADLINE_S, ConnectionEnded, HttpReply, Wire, read_head, read_reply, request_head

ENGINE_PATH: Final = "/engine.io/"
SOCKET_PATH: Final = "/socket.io/"
SEPARATOR: Final = "\x1e"
_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT: Final = base64.b64encode(hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
UPGRADE_HEADERS: Final = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", _KEY),
)

Expected = TypeVar("Expected")


class Refused(Exception):
    """The server answered a websocket handshake with something else than 101."""

    def __init__(self, reply: HttpReply) -> None:
        super().__init__(f"websocket handshake refused with {reply.status}")
        self.reply = reply


class Closed(Exception):
    """The server closed the websocket: by a close frame with this code, or (code and reason None) by the TCP end."""

    def __init__(self, close_frame: frames.Frame | None) -> None:
        self.code = close_frame.close_code if close_frame else None
        self.reason = close_frame.payload[2:].decode() if close_frame else None
        self.by_frame = close_frame is not None
        super().__init__(f"closed with {self.code}" if self.by_frame else "connection ended")


class Handshake(NamedTuple):
    """The payload of the Engine.IO open packet, as it came."""

    values: dict[str, Any]

    @property
    def sid(self) -> str:
        return self.values["sid"]


def _parse_open(packet: str) -> Handshake:
    assert packet.startswith("0"), f"not an open packet: {packet!r}"
    return Handshake(json.loads(packet[1:]))


class WebSocket:
    """One websocket to an Engine.IO endpoint, frame by frame."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.handshake: Handshake | None = None

    async def send(self, message: str | bytes) -> None:
        """Send one Engine.IO packet as one correct frame."""
        opcode, payload = (frames.TEXT, message.encode()) if isinstance(message, str) else (frames.BINARY, message)
        await self.wire.send(frames.frame(opcode, payload))

    async def send_bytes(self, data: bytes, *, deadline_s: float = DEADLINE_S) -> None:
        """Send these bytes after the handshake, whatever they are."""
        await self.wire.send(data, deadline_s=deadline_s)

    async def next_frame(self, *, deadline_s: float = DEADLINE_S) -> frames.Frame:
        """The next frame as it came; raise `Closed` when the connection ended instead."""
        try:
            start = await self.wire.take(2, deadline_s=deadline_s)
            header = start + await self.wire.take(frames.header_size(start) - 2, deadline_s=deadline_s)
            opcode, fin, size = frames.parse_header(header)
            return frames.Frame(opcode, await self.wire.take(size, deadline_s=deadline_s), fin)
        except ConnectionEnded:
            raise Closed(None) from None

    async def next_message(self, *, deadline_s: float = DEADLINE_S) -> str | bytes:
        """The next whole message; websocket pings and pongs are skipped. Raise `Closed` on a close frame."""
        opcode, payload = 0, b""
        while True:
            received = await self.next_frame(deadline_s=deadline_s)
            if received.opcode == frames.CLOSE:
                raise Closed(received)
            if received.opcode in (frames.PING, frames.PONG):
                continue
            opcode = received.opcode or opcode
            payload += received.payload
            if received.fin:
                return payload.decode() if opcode == frames.TEXT else payload

    async def receive(self, *, deadline_s: float = DEADLINE_S) -> str | bytes:
        """The next Engine.IO packet that is not a heartbeat; heartbeats are answered."""
        async with asyncio.timeout(deadline_s):
            while (packet := await self.next_message(deadline_s=deadline_s)) == "2":
                await self.send("3")
        return packet

    async def wait_closed(self, *, deadline_s: float = DEADLINE_S) -> Closed:
        """Expect the server to close without a further word, and say how it did.

        Heartbeats are answered, so that a ping timeout can never pass for a close.
        """
        try:
            packet = await self.receive(deadline_s=deadline_s)
        except Closed as closed:
            return closed
        raise AssertionError(f"a packet came instead of a close: {packet[:200]!r}")

    async def wait_timed_out(self) -> Closed:
        """Leave every heartbeat unanswered until the server closes, and say how it did."""
        try:
            while await self.next_message() == "2":
                pass
        except Closed as closed:
            return closed
        raise AssertionError("something else than a heartbeat came")

    async def wait_ended(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the server ended the TCP connection."""
        await self.wire.take_all(deadline_s=deadline_s)


@dataclass
class Polling:
    """One long-polling session: every HTTP request is a call of the test's."""

    target: Target
    path: str
    handshake: Handshake
    _packets: deque[str] = field(default_factory=deque)

    @property
    def url(self) -> str:
        return f"{self.path}?EIO=4&transport=polling&sid={self.handshake.sid}"

    async def get(self, *, deadline_s: float = DEADLINE_S) -> HttpReply:
        """One poll."""
        return await self.target.request("GET", self.url, deadline_s=deadline_s)

    async def next_message(self, *, deadline_s: float = DEADLINE_S) -> str:
        """The next packet, heartbeats included."""
        while not self._packets:
            reply = await self.get(deadline_s=deadline_s)
            assert reply.status == 200, f"poll answered {reply.status}: {reply.body!r}"
            self._packets += reply.text.split(SEPARATOR)
        return self._packets.popleft()

    async def start_get(self) -> Wire:
        """Send a poll without waiting for its answer."""
        return await self.target.start_request("GET", self.url)

    async def post(self, body: str | bytes, *, content_type: str = "text/plain;charset=UTF-8") -> HttpReply:
        """Send one payload."""
        data = body.encode() if isinstance(body, str) else body
        return await self.target.request("POST", self.url, body=data, headers=[("Content-Type", content_type)])

    async def send(self, *packets: str) -> None:
        """Send packets as one payload and expect the server to take them."""
        reply = await self.post(SEPARATOR.join(packets))
        assert (reply.status, reply.text) == (200, "ok")

    async def receive(self) -> str:
        """The next packet that is not a heartbeat; heartbeats are answered."""
        async with asyncio.timeout(DEADLINE_S):
            while (packet := await self.next_message()) == "2":
                await self.send("3")
        return packet


@dataclass
class Target:
    """The server under test. All its connections end with the test."""

    name: str
    port: int
    host: str = "127.0.0.1"
    pid: int = 0
    _wires: WeakSet[Wire] = field(default_factory=WeakSet)  # the event loop holds those that are open

    @property
    def is_reference(self) -> bool:
        return self.name == "reference"

    def expect(self, *, sensorcast: Expected, reference: Expected) -> Expected:
        """What this target must do where the two differ; the caller says why they do."""
        return reference if self.is_reference else sensorcast

    async def connect(self) -> Wire:
        """A TCP connection on which nothing was sent yet."""
        wire = await Wire.open(self.host, self.port)
        self._wires.add(wire)
        return wire

    async def start_request(
        self, method: str, url: str, *, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> Wire:
        """Send a request on a connection of its own and return that connection."""
        wire = await self.connect()
        framing = [("Connection", "close")]
        if body or method in ("POST", "PUT"):
            framing.append(("Content-Length", str(len(body))))
        await wire.send(request_head(method, url, [*framing, *headers]) + body)
        return wire

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        deadline_s: float = DEADLINE_S,
    ) -> HttpReply:
        """One request, one response, on a connection of its own."""
        wire = await self.start_request(method, url, body=body, headers=headers)
        try:
            return await read_reply(wire, deadline_s=deadline_s)
        finally:
            wire.abort()

    async def polling(self, path: str = ENGINE_PATH) -> Polling:
        """Open a session over HTTP long-polling."""
        reply = await self.request("GET", f"{path}?EIO=4&transport=polling")
        assert reply.status == 200, f"handshake answered {reply.status}: {reply.body!r}"
        opening, *rest = reply.text.split(SEPARATOR)
        return Polling(self, path, _parse_open(opening), deque(rest))

    async def raw_websocket(self, url: str, headers: Iterable[tuple[str, str]] = ()) -> WebSocket:
        """A websocket to this exact URL, nothing read after the 101; raise `Refused` for any other answer."""
        wire = await self.connect()
        await wire.send(request_head("GET", url, [*UPGRADE_HEADERS, *headers]))
        reply = await read_head(wire)
        if reply.status != 101:
            raise Refused(reply)
        assert reply.headers["sec-websocket-accept"] == _ACCEPT.decode()
        return WebSocket(wire)

    async def websocket(self, path: str = ENGINE_PATH) -> WebSocket:
        """Open a session over websocket."""
        websocket = await self.raw_websocket(f"{path}?EIO=4&transport=websocket")
        packet = await websocket.receive()
        assert isinstance(packet, str)
        websocket.handshake = _parse_open(packet)
        return websocket

    async def upgrade(self, polling: Polling) -> WebSocket:
        """A websocket for an existing polling session, not probed yet."""
        return await self.raw_websocket(f"{polling.path}?EIO=4&transport=websocket&sid={polling.handshake.sid}")

    def abort_all(self) -> None:
        """End every connection of the test."""
        for wire in list(self._wires):
            wire.abort()


async def connect_namespace(client: WebSocket | Polling, namespace: str = "/") -> str:
    """Send CONNECT, take the answer and the `auth` event after it, and return the Socket.IO session id."""
    prefix = "" if namespace == "/" else f"{namespace},"
    await client.send(f"40{prefix}")
    answer = await client.receive()
    assert isinstance(answer, str)
    assert answer.startswith(f"40{prefix}{{"), f"CONNECT answered {answer!r}"
    assert await client.receive() == f'42{prefix}["auth",{{}}]'
    return json.loads(answer[len(prefix) + 2 :])["sid"]


async def seconds_to_close(websocket: WebSocket, violation: bytes, *, deadline_s: float = DEADLINE_S) -> float:
    """Send these bytes and return how long the server took to close."""
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        await websocket.send_bytes(violation)
    await websocket.wait_closed(deadline_s=deadline_s)
    return time.monotonic() - started
