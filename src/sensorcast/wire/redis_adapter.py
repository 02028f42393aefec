"""Broadcasts as Node's `@socket.io/redis-adapter` and `@socket.io/redis-emitter` send them to each other through Redis.

Owns the codec of one message: msgpack `[uid, {type, data, nsp}, {rooms, except, flags}]` on the channel
`<key>#<namespace>#`, or with one room `<key>#<namespace>#<room>#`, as versions 8.3 and 5.1 of the packages write it.
The invariant: decoding gives an event or raises `WireError`. Requests (join, leave, disconnect, fetch) are not
understood on purpose: they would let whoever reaches Redis move sockets between tenants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from sensorcast.wire.errors import WireError
from sensorcast.wire.socketio import RESERVED_EVENTS

MESSAGE_MAX_BYTES: Final = 1024 * 1024
"""Longer ones are not looked at: an event of that size would cut every client that gets it."""
ROOMS_MAX: Final = 1_000
"""Rooms one broadcast may name; each is looked up."""

_EVENT: Final = 2


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """One event for everybody in any of `rooms` (empty: in the namespace) who is in none of `except_rooms`."""

    uid: str
    """Who sent it, so that a sender knows its own; `emitter` for the emitter."""
    namespace: str
    event: str
    args: Sequence[Any] = ()
    rooms: Sequence[str] = ()
    except_rooms: Sequence[str] = ()
    volatile: bool = False


class _Packet(msgspec.Struct, frozen=True):
    data: list[Any]
    type: int = _EVENT
    nsp: str = "/"


class _Flags(msgspec.Struct, frozen=True):
    volatile: bool | None = None


class _Options(msgspec.Struct, frozen=True, rename={"except_rooms": "except"}):
    rooms: list[str | int | float] = []
    except_rooms: list[str | int | float] = []
    flags: _Flags | None = None


_DECODER: Final = msgspec.msgpack.Decoder(tuple[str, _Packet, _Options])
_ENCODER: Final = msgspec.msgpack.Encoder()


def channel_pattern(key: str, namespace: str) -> str:
    """The Redis pattern of every channel on which broadcasts to a namespace come."""
    escaped = "".join(f"\\{character}" if character in "*?[]\\^-" else character for character in f"{key}#{namespace}#")
    return f"{escaped}*"


def channel_of(key: str, namespace: str, rooms: Sequence[str]) -> str:
    """The channel on which a broadcast to `rooms` goes out."""
    return f"{key}#{namespace}#{rooms[0]}#" if len(rooms) == 1 else f"{key}#{namespace}#"


def decode_broadcast(message: bytes) -> Broadcast:
    """Decode one message; raises `WireError` for anything but an event."""
    if len(message) > MESSAGE_MAX_BYTES:
        raise WireError(f"broadcast of more than {MESSAGE_MAX_BYTES} bytes")
    try:
        uid, packet, options = _DECODER.decode(message)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise WireError(f"not a broadcast of the Redis adapter: {exc}") from None
    event = packet.data[0] if packet.data else None
    if packet.type != _EVENT or not isinstance(event, str) or event in RESERVED_EVENTS:
        raise WireError("a broadcast must be an event with a name of its own")
    return Broadcast(
        uid=uid,
        namespace=packet.nsp,
        event=event,
        args=packet.data[1:],
        rooms=_names(options.rooms),
        except_rooms=_names(options.except_rooms),
        volatile=bool(options.flags and options.flags.volatile),
    )


def _names(rooms: Iterable[str | int | float]) -> list[str]:
    names = [str(room) for room in rooms]
    if len(names) > ROOMS_MAX:
        raise WireError(f"broadcast to more than {ROOMS_MAX} rooms")
    return names


def encode_broadcast(broadcast: Broadcast) -> bytes:
    """Encode one message. Arguments may be anything msgpack can say, structs with their JSON names included."""
    packet = {"type": _EVENT, "data": [broadcast.event, *broadcast.args], "nsp": broadcast.namespace}
    options = {
        "rooms": [str(room) for room in broadcast.rooms],
        "except": [str(room) for room in broadcast.except_rooms],
        "flags": {"volatile": True} if broadcast.volatile else {},
    }
    return _ENCODER.encode([broadcast.uid, packet, options])
