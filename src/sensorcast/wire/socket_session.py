"""Namespaces of one connection as a state machine: who is connecting, connected, gone. No I/O.

Owns the order rules of Socket.IO 5 above one Engine.IO session. The invariant: an event or ack is passed on only for a
namespace that is connected, a namespace is connected at most once at a time, and the number of them is bounded.
"""

from __future__ import annotations

from typing import Final

from sensorcast.wire.errors import WireError
from sensorcast.wire.socketio import DecodeLimits, PacketDecoder, SocketPacket, SocketPacketType

MAX_NAMESPACES: Final = 16
"""Namespaces one connection may be in: stock clients share a connection between a handful; more is an attack."""


class SocketSession:
    """Feed it Engine.IO messages; it gives the packets that are allowed now and raises `WireError` for the others."""

    __slots__ = ("_decoder", "_disconnected", "connected", "connecting")

    def __init__(self, limits: DecodeLimits) -> None:
        self._decoder = PacketDecoder(limits)
        # Tuples, not sets: almost every connection has one namespace, and a set of one costs four times a tuple of one.
        self.connecting: tuple[str, ...] = ()
        self.connected: tuple[str, ...] = ()
        self._disconnected: tuple[str, ...] = ()

    def receive(self, message: str | bytes) -> SocketPacket | None:
        """Take one message; return a packet to act on, or None (unfinished, or late after a disconnect)."""
        packet = self._decoder.feed(message)
        if packet is None:
            return None
        if packet.kind is SocketPacketType.CONNECT:
            return self._connect(packet)
        if packet.namespace in self.connected:
            return packet
        # After a disconnect from our side, what the client had under way still comes in; it is not its fault.
        if packet.namespace in self._disconnected or packet.namespace in self.connecting:
            return self._late(packet)
        raise WireError(f"Socket.IO {packet.kind.name} for a namespace that is not connected")

    def _connect(self, packet: SocketPacket) -> SocketPacket:
        name = packet.namespace
        if name in self.connected or name in self.connecting:
            raise WireError("Socket.IO CONNECT for a namespace that is connected already")
        known = self.connected + self.connecting + self._disconnected
        if name not in known and len(known) >= MAX_NAMESPACES:
            raise WireError(f"more than {MAX_NAMESPACES} namespaces on one connection")
        self.connecting += (name,)
        self._disconnected = _without(self._disconnected, name)
        return packet

    def _late(self, packet: SocketPacket) -> SocketPacket | None:
        if packet.namespace in self.connecting and packet.kind is not SocketPacketType.DISCONNECT:
            raise WireError(f"Socket.IO {packet.kind.name} before the CONNECT was answered")
        return packet if packet.namespace in self.connecting else None

    def accept(self, namespace: str) -> None:
        """Note that the CONNECT of `namespace` was accepted."""
        self.connecting = _without(self.connecting, namespace)
        self.connected += (namespace,)

    def leave(self, namespace: str) -> None:
        """Note that `namespace` was refused or is disconnected, by either side."""
        self.connecting = _without(self.connecting, namespace)
        self.connected = _without(self.connected, namespace)
        self._disconnected = (*_without(self._disconnected, namespace), namespace)


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(other for other in names if other != name)
