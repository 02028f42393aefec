"""Runs a fleet against a server in real time: first its past, then a measurement of every unit each interval.

Called by the commands `simulate` and `demo`. The invariant: measuring never waits for sending; while the server is
away the sender's queue fills, and what was measured meanwhile arrives afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import structs

from sensorcast.simulator.fleet import Fleet
from sensorcast.simulator.sender import Sender

_LONGEST_NAP_S = 1.0  # how often due units are collected; a gateway bundles what arrives within about a second
_PAST_CHUNK_S = 1_800.0


async def send_past(fleet: Fleet, sender: Sender, *, from_s: float, to_s: float, interval_s: float) -> None:
    """Deliver what the units measured before now, oldest first, as what it is: imported, not late."""
    at_s = from_s
    while at_s < to_s:
        at_s = min(to_s, at_s + _PAST_CHUNK_S)
        sender.offer(structs.replace(measured, source="import") for measured in fleet.measure(at_s, interval_s))
        await sender.flush()


async def send_live(
    fleet: Fleet, sender: Sender, *, interval_s: float, clock: Callable[[], float], until_s: float | None = None
) -> None:
    """Measure and deliver in real time until `until_s`, or for ever. Raises `Refused` when the server never will."""
    delivery: asyncio.Task[None] | None = None
    try:
        while until_s is None or clock() < until_s:
            sender.offer(fleet.measure(clock(), interval_s))
            if delivery is None or delivery.done():
                if delivery is not None:
                    delivery.result()
                delivery = asyncio.create_task(sender.flush())
            await asyncio.sleep(min(interval_s, _LONGEST_NAP_S))
        if delivery is not None:
            await delivery
        await sender.flush()
    finally:
        if delivery is not None and not delivery.done():
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)
