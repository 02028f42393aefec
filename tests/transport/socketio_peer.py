"""A Socket.IO server whose time passes by hand, and clients on fake carriers that speak packets as text."""

from __future__ import annotations

import itertools
from typing import Any

from sensorcast.transport.client import Client
from sensorcast.transport.limits import Limits
from sensorcast.transport.server import SocketServer
from sensorcast.transport.socket import Socket
from sensorcast.wire.engineio import EnginePacket, PacketType
from tests.transport.fakes import FakeCarrier, live


class IoServer(SocketServer):
    """`SocketServer` with socket ids i0, i1, ..."""

    def __init__(self, *, grace_s: float = 5.0, **limits: Any) -> None:
        super().__init__(limits=Limits(**limits), grace_s=grace_s)
        self._numbers = itertools.count()

    def new_id(self) -> str:
        return f"i{next(self._numbers)}"

    def live(self, seconds: float) -> None:
        live(self.endpoint.wheel, seconds)


class IoPeer:
    """One client. `received` is what came since it was last looked at, without Engine.IO's own packets."""

    def __init__(self, server: SocketServer, *packets: str | bytes) -> None:
        self.carrier = FakeCarrier()
        self.connection = server.endpoint.open(self.carrier, address="192.0.2.7", query={}, headers={})
        self.send(*packets)

    def send(self, *packets: str | bytes) -> None:
        """Send Socket.IO packets: text without the leading 4, or bytes."""
        for packet in packets:
            self.connection.receive(EnginePacket(PacketType.MESSAGE, packet))

    @property
    def client(self) -> Client:
        assert isinstance(self.connection.handler, Client)
        return self.connection.handler

    def socket(self, namespace: str = "/") -> Socket:
        """Its socket as the application sees it."""
        return self.client.sockets[namespace]

    @property
    def received(self) -> list[str]:
        texts = [text[1:] for text in self.carrier.texts if text.startswith("4")]
        self.carrier.sent.clear()
        return texts


def joined(server: SocketServer, *packets: str | bytes) -> IoPeer:
    """A client that is connected to the namespace `/` and has read the answer."""
    peer = IoPeer(server, "0", *packets)
    assert peer.received[0].startswith("0{")
    return peer
