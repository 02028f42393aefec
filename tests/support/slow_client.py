"""A Socket.IO client over a WebSocket with a tiny receive buffer, which reads only when the test says so.

What it does not read stays in the kernels' buffers and then in the server: that is what the tests of slow clients need.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from typing import Any

from .server import Organization

RECEIVE_BUFFER_BYTES = 2_048
DEADLINE_S = 30.0
_MASK = b"\x01\x02\x03\x04"


class SlowClient:
    """One connection, joined to its organization. `read` takes what there is; everything taken is in `events`."""

    def __init__(self, organization: Organization, **auth: Any) -> None:
        self.events: list[tuple[str, Any]] = []
        self.acks: list[int] = []
        self.ended = False
        self._unread = b""
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(("127.0.0.1", organization.server.port))
        self._open()
        self.send("40" + json.dumps({"token": organization.viewer_token, **auth}))
        self.read_until(lambda: "connection:ack" in self.names, within_s=DEADLINE_S)

    def _open(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        while b"\r\n\r\n" not in self._unread:
            self._unread += self._socket.recv(1_024)
        answer, _, self._unread = self._unread.partition(b"\r\n\r\n")
        assert b" 101 " in answer, answer

    def send(self, packet: str) -> None:
        """Send one packet as a masked frame."""
        data = packet.encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + struct.pack("!H", len(data))
        masked = bytes(byte ^ _MASK[place % 4] for place, byte in enumerate(data))
        self._socket.sendall(b"\x81" + size + _MASK + masked)

    def ask(self, number: int, name: str, *args: Any) -> None:
        """Emit an event that asks for an acknowledgement."""
        self.send(f"42{number}" + json.dumps([name, *args]))

    @property
    def names(self) -> list[str]:
        """Names of the events read so far."""
        return [name for name, _ in self.events]

    def arguments(self, name: str) -> list[Any]:
        """The first argument of each event of that name read so far."""
        return [argument for each, argument in self.events if each == name]

    def read_until(self, satisfied: Any, *, within_s: float) -> None:
        """Read until `satisfied()`, or the end of the connection."""
        deadline_s = time.monotonic() + within_s
        self._take()
        while not satisfied() and not self.ended:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"not within {within_s} s; read {sorted(set(self.names))}"
            self._socket.settimeout(left_s)
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                data = b""
            self.ended = not data
            self._unread += data
            self._take()

    def read_to_end(self, *, within_s: float) -> None:
        """Read until the server has closed the connection."""
        self.read_until(lambda: False, within_s=within_s)

    def close(self) -> None:
        self._socket.close()

    def _take(self) -> None:
        while (message := self._next_message()) is not None:
            if message == "2":
                self.send("3")
            elif message.startswith("42"):
                self.events.append(tuple((*json.loads(message[2:]), None)[:2]))
            elif message.startswith("43"):
                self.acks.append(int(message[2 : message.index("[")]))

    def _next_message(self) -> str | None:
        """Take one whole text frame; anything else (a close frame) is left out."""
        data = self._unread
        if len(data) < 2:
            return None
        start, size = 2, data[1]
        if size == 126:
            start, size = 4, int.from_bytes(data[2:4], "big")
        elif size == 127:
            start, size = 10, int.from_bytes(data[2:10], "big")
        if len(data) < start + size:
            return None
        self._unread = data[start + size :]
        return data[start : start + size].decode() if data[0] == 0x81 else ""
