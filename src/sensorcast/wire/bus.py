"""Messages between nodes: readings that one of them took in, and beats, as bytes that only our own nodes can make.

Owns the codec: a version byte, a keyed BLAKE2b of the rest, and msgpack of a known shape. Called by `cluster.relay`,
which numbers messages and judges the numbers. The invariant: decoding gives a message that a holder of the key made for
this very channel, or raises `Refused` with the reason; no message is longer than `MESSAGE_MAX_BYTES`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from sensorcast.model import Reading
from sensorcast.wire.errors import WireError

MESSAGE_MAX_BYTES: Final = 1024 * 1024
"""Longer ones are neither sent nor looked at; one message never holds up a node or its bus for long."""
HEADS_MAX: Final = 2_000
"""Heads in one beat: far within the size, whatever the names of channels."""

_VERSION: Final = b"\x01"
_MAC_BYTES: Final = 16
_OVERHEAD_BYTES: Final = 1_024
"""Upper bound of what surrounds the readings in a message: names of a few hundred bytes, numbers."""

Reason = Literal["foreign", "forged", "oversized", "unknown", "wrong_channel"]

_Count = Annotated[int, Meta(ge=0)]
_Name = Annotated[str, Meta(max_length=256)]


class Refused(WireError):
    """A message that is none of ours. `reason` is one of a few words, good as a label of a metric."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Readings(msgspec.Struct, frozen=True, kw_only=True, tag="readings"):
    """Readings of one organization, all stored; the `seq`-th message of its sender on this channel."""

    channel: _Name
    origin: _Name
    epoch: _Count
    """Microseconds since 1970 at which the sender began to number."""
    seq: _Count
    since_ms: _Count | None = None
    """Time between the message before it on this channel and this one; None: there was none before."""
    sent_us: _Count
    """Microseconds since 1970 by the sender's clock."""
    organization_id: _Name
    readings: Sequence[Reading]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """How far its sender has come on a channel, and how long ago that was."""

    channel: _Name
    seq: _Count
    since_ms: _Count


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat", omit_defaults=True):
    """A node is there. `heads` are of channels that have gone quiet lately, so that a lost last message is seen."""

    channel: _Name
    origin: _Name
    epoch: _Count
    number: _Count
    """Of this beat, so that its sender knows it again, and others know that it is a new one."""
    sent_us: _Count
    name: _Name
    heads: Annotated[Sequence[Head], Meta(max_length=HEADS_MAX)] = ()
    leaves: bool = False
    """Whether it is the last one: the node ends in good order, and has sent all that it had."""


Message = Readings | Beat


class _Enclosed(msgspec.Struct, frozen=True, kw_only=True, tag="readings"):
    """`Readings` whose readings are encoded already."""

    channel: str
    origin: str
    epoch: int
    seq: int
    since_ms: int | None
    sent_us: int
    organization_id: str
    readings: msgspec.Raw


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Message)


def derive_key(secret: bytes, context: str) -> bytes:
    """Give the key of one cluster: of a secret that all its nodes have, and of a `context` that only they share."""
    return blake2b(context.encode(), key=blake2b(secret).digest(), digest_size=32, person=b"sensorcast-bus").digest()


class BusCodec:
    """Encodes and decodes with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode_beat(self, beat: Beat) -> bytes:
        """Give the bytes of a beat."""
        return self._seal(_ENCODER.encode(beat))

    def encode_readings(
        self,
        readings: Sequence[Reading],
        *,
        channel: str,
        origin: str,
        epoch: int,
        sent_us: int,
        number: Callable[[], tuple[int, int | None]],
        max_bytes: int = MESSAGE_MAX_BYTES,
    ) -> Iterator[bytes | None]:
        """Give one message with all `readings`, which are of one organization, or several where one were too long.

        `number` is called for each and gives its `seq` and `since_ms`. None stands for a reading that cannot be sent,
        being too long or not to be encoded: it has taken a number, so that listeners know that they miss something.
        """
        organization_id = readings[0].organization_id
        for encoded in _split(readings, max_bytes - _OVERHEAD_BYTES):
            seq, since_ms = number()
            yield encoded and self._seal(
                _ENCODER.encode(
                    _Enclosed(
                        channel=channel,
                        origin=origin,
                        epoch=epoch,
                        seq=seq,
                        since_ms=since_ms,
                        sent_us=sent_us,
                        organization_id=organization_id,
                        readings=msgspec.Raw(encoded),
                    )
                )
            )

    def decode(self, channel: str, message: bytes) -> Message:
        """Give what `message` says, which came on `channel`. Raises `Refused`."""
        if len(message) > MESSAGE_MAX_BYTES:
            raise Refused("oversized")
        if len(message) <= 1 + _MAC_BYTES or message[:1] != _VERSION:
            raise Refused("foreign")
        payload = message[1 + _MAC_BYTES :]
        if not hmac.compare_digest(message[1 : 1 + _MAC_BYTES], self._mac(payload)):
            raise Refused("forged")
        try:
            decoded: Message = _DECODER.decode(payload)
        except (msgspec.DecodeError, ValueError, RecursionError):  # made by a node of another version
            raise Refused("unknown") from None
        if decoded.channel != channel:
            raise Refused("wrong_channel")
        return decoded

    def _seal(self, payload: bytes) -> bytes:
        return _VERSION + self._mac(payload) + payload

    def _mac(self, payload: bytes) -> bytes:
        return blake2b(payload, key=self._key, digest_size=_MAC_BYTES).digest()


def _split(readings: Sequence[Reading], max_bytes: int) -> Iterator[bytes | None]:
    """Encode `readings` within `max_bytes`, halving what is too long: almost always it is one piece."""
    encoded = _encoded(readings)
    if encoded is not None and len(encoded) <= max_bytes:
        yield encoded
    elif len(readings) == 1:
        yield None
    else:
        half = len(readings) // 2
        yield from _split(readings[:half], max_bytes)
        yield from _split(readings[half:], max_bytes)


def _encoded(readings: Sequence[Reading]) -> bytes | None:
    try:
        return _ENCODER.encode(readings)
    except (UnicodeEncodeError, OverflowError):
        return None
