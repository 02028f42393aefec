"""Readings that this node has taken in, on their way to the other nodes.

Owns what waits for the next message. The invariant: a reading waits only while somebody else may listen to its
organization; what is given up takes a number, so that listeners know.

Limit: `bus_queue_max_bytes`, at `READING_BYTES` each. Policy: what comes on top is given up. Metric:
`sensorcast_bus_dropped_messages`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sensorcast.cluster import Bus
from sensorcast.cluster.gaps import Sender
from sensorcast.cluster.numbering import Numbering
from sensorcast.metrics import BUS_DROPPED, BUS_PUBLISHED
from sensorcast.model import Reading
from sensorcast.wire.bus import BusCodec

READING_BYTES: Final = 512
"""What a waiting reading is taken to hold: one of the usual kind and half as much again."""
READINGS_PER_MESSAGE: Final = 1_000
"""Encoded in a millisecond."""
SLICE_S: Final = 0.005
"""Time that encoding may take before the loop gets a turn."""

ChannelOf = Callable[[str], str]
"""The channel of an organization."""


class Outgoing:
    """Collects readings and publishes them. `now_us` gives microseconds since 1970."""

    def __init__(
        self,
        bus: Bus,
        codec: BusCodec,
        numbering: Numbering,
        *,
        sender: Sender,
        max_bytes: int,
        now_us: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._codec = codec
        self._numbering = numbering
        self._origin, self._epoch = sender
        self._now_us = now_us
        self._max_readings = max_bytes // READING_BYTES
        self._count = 0
        self._waiting: dict[str, list[Reading]] = {}
        self._given_up: set[str] = set()

    def add(self, channel: str, readings: Sequence[Reading]) -> bool:
        """Let readings wait for the next `publish`; True when nothing waited before."""
        if not readings or not self._bus.is_heard(channel):
            return False
        count_before = self._count
        taken = readings[: self._max_readings - count_before]
        if len(taken) < len(readings):
            self._given_up.add(channel)
            BUS_DROPPED.inc(len(readings) - len(taken))
        if taken:
            self._count += len(taken)
            self._waiting.setdefault(channel, []).extend(taken)
        return count_before == 0 and bool(taken)

    async def publish(self, now_s: Callable[[], float]) -> None:
        """Send everything that waits and may be heard. When it is cancelled, what is not sent still waits."""
        await self._drop_unheard(now_s())
        slice_ends_s = time.perf_counter() + SLICE_S
        while self._waiting:
            channel, readings = next(iter(self._waiting.items()))
            if len(readings) > READINGS_PER_MESSAGE:
                self._waiting[channel] = readings[READINGS_PER_MESSAGE:]
            else:
                del self._waiting[channel]
            self._count -= min(READINGS_PER_MESSAGE, len(readings))
            self._send(channel, readings[:READINGS_PER_MESSAGE], now_s)
            if time.perf_counter() >= slice_ends_s:
                await asyncio.sleep(0)
                slice_ends_s = time.perf_counter() + SLICE_S
        given_up, self._given_up = self._given_up, set()
        for channel in given_up:
            self._numbering.next(channel, now_s())

    async def _drop_unheard(self, asked_s: float) -> None:
        """Drop what nobody hears; it takes a number, as if it had been published to nobody at `asked_s`.

        Who begins to listen later reads the store after that. What comes in during the question may be stored after it
        was answered, so it is sent.
        """
        asked = {channel: len(readings) for channel, readings in self._waiting.items()}
        for channel in await self._bus.unheard(asked):
            self._count -= asked[channel]
            del self._waiting[channel][: asked[channel]]
            if not self._waiting[channel]:
                del self._waiting[channel]
            self._numbering.next(channel, asked_s)

    def _send(self, channel: str, readings: list[Reading], now_s: Callable[[], float]) -> None:
        messages = self._codec.encode_readings(
            readings,
            channel=channel,
            origin=self._origin,
            epoch=self._epoch,
            sent_us=self._now_us(),
            number=partial(_number, self._numbering, channel, now_s),
        )
        for message in messages:
            if message is None:
                BUS_DROPPED.inc()
            else:
                self._bus.publish(channel, message)
                BUS_PUBLISHED.inc()


def _number(numbering: Numbering, channel: str, now_s: Callable[[], float]) -> tuple[int, int | None]:
    return numbering.next(channel, now_s())
