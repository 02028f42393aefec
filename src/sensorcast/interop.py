"""Exchange with Node Socket.IO servers and emitters that use the Redis adapter in the same Redis. Off by default.

Owns both directions. What Node broadcasts in our namespace goes to our sockets in the rooms it names. What this node
has taken in goes to theirs: one batch per unit and interval, to the organization's, the unit's and the site's room in
one broadcast, so that a socket of theirs in several of them gets it once. Each of our nodes sends only what it took in
itself, so that however many there are, Node gets each reading once. The invariant: nothing here can hold up or change
what our own sockets get from the stream.

Whoever can write to that Redis can send any event to any room here: the messages carry no proof of their sender.

Limit: what waits for an interval is bounded like the stream's buffer, with the same policy.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec
import structlog

from sensorcast.broadcaster import BATCH_EVENT
from sensorcast.metrics import ADAPTER_MESSAGES
from sensorcast.model import Reading, Room
from sensorcast.stream.buffer import OrganizationReadings, ReadingBuffer
from sensorcast.stream.outgoing import batch_reading
from sensorcast.strict_json import JsonError
from sensorcast.wire.errors import WireError
from sensorcast.wire.redis_adapter import Broadcast, decode_broadcast, encode_broadcast

NAMESPACE: Final = "/"
READINGS_PER_BATCH: Final = 500
"""Readings in one broadcast at most: about 150 KB, within what one event may have."""
_OURS: Final = "sensorcast-"
"""What the sender of every broadcast of ours begins with; our other nodes have the readings from the bus already."""

_recorded_at: Final = attrgetter("recorded_at_us")
_log = structlog.get_logger(__name__)


class Stream(Protocol):
    """Where readings go in any case, and what is known of their units."""

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None: ...


class Emit(Protocol):
    """Sends an event to sockets of this node; `transport.namespace.Namespace.emit` is one."""

    def __call__(
        self, event: str, *args: Any, rooms: Sequence[str] | None, except_rooms: Sequence[str], volatile: bool
    ) -> None: ...


class Channels(Protocol):
    """Where broadcasts go; `cluster.node_adapter.NodeAdapter` is one, and gives what it hears to `heard`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def publish(self, rooms: Sequence[str], message: bytes) -> None: ...


class NodeExchange:
    """Stands before a stream: takes readings to it, and to Node. `now_us` gives microseconds since 1970.

    `channels` makes the way to Node, given what to call with each message of theirs; `latest` gives the newest known
    reading of a unit.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        channels: Callable[[Callable[[bytes], None]], Channels],
        latest: Callable[[str, str], Reading | None],
        emit: Emit,
        interval_s: float,
        max_readings: int,
        now_us: Callable[[], int],
    ) -> None:
        self._stream = stream
        self._latest = latest
        self._emit = emit
        self._channels = channels(self.heard)
        self._interval_s = interval_s
        self._waiting = ReadingBuffer(max_readings)
        self._next_seq = count(now_us()).__next__
        self._uid = _OURS + secrets.token_hex(6)
        self._timer: asyncio.Task[None] | None = None

    # Ours to Node

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None:
        """Take readings that this node has stored to the stream, and into the next batch for Node."""
        for reading in readings:
            newest = self._latest(organization_id, reading.unit_id)
            is_late = newest is not None and newest.recorded_at_us > reading.recorded_at_us
            self._waiting.add(msgspec.structs.replace(reading, late=True) if is_late else reading)
        self._stream.add_readings(organization_id, readings)

    async def start(self) -> None:
        """Begin to listen, and to send once an interval. End it with `stop`."""
        await self._channels.start()
        self._timer = asyncio.create_task(self._tick(), name="sensorcast-node-exchange")

    async def stop(self) -> None:
        """End, after one last batch of what waits."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            await asyncio.wait((timer,))
            self.flush()
            await self._channels.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        for readings in self._waiting.drain().values():
            for broadcast in self._batches(readings):
                self._send(broadcast)

    def _send(self, broadcast: Broadcast) -> None:
        try:
            self._channels.publish(broadcast.rooms, encode_broadcast(broadcast))
        except Exception as exc:  # one unit must not keep the others from Node, nor end the timer
            ADAPTER_MESSAGES.labels("failed").inc()
            _log.error("adapter_message_failed", error=repr(exc))
        else:
            ADAPTER_MESSAGES.labels("sent").inc()

    def _batches(self, drained: OrganizationReadings) -> Iterator[Broadcast]:
        for unit_id, unsorted in drained.units.items():
            readings = sorted(unsorted, key=_recorded_at)
            for start in range(0, len(readings), READINGS_PER_BATCH):
                yield self._batch(drained, unit_id, readings[start : start + READINGS_PER_BATCH])

    def _batch(self, owner: OrganizationReadings, unit_id: str, readings: Sequence[Reading]) -> Broadcast:
        sites = {Room.site(owner, reading.site_id) for reading in readings if reading.site_id is not None}
        items = [batch_reading(reading) for reading in readings]
        return Broadcast(
            uid=self._uid,
            namespace=NAMESPACE,
            event=BATCH_EVENT,
            args=[{"unitId": unit_id, "readings": items, "count": len(items), "seq": self._next_seq()}],
            rooms=[Room.organization(owner), Room.unit(owner, unit_id), *sorted(sites)],
        )

    # Node to ours

    def heard(self, message: bytes) -> None:
        """Send on what Node broadcast; what is not an event of our namespace is counted and ignored."""
        try:
            broadcast = decode_broadcast(message)
            if broadcast.uid.startswith(_OURS) or broadcast.namespace != NAMESPACE:
                return
            self._emit(
                broadcast.event,
                *broadcast.args,
                rooms=broadcast.rooms or None,
                except_rooms=broadcast.except_rooms,
                volatile=broadcast.volatile,
            )
        except (WireError, JsonError) as exc:
            ADAPTER_MESSAGES.labels("ignored").inc()
            _log.debug("adapter_message_ignored", error=str(exc))
        else:
            ADAPTER_MESSAGES.labels("heard").inc()
