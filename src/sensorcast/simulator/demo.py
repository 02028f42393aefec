"""The demo: a simulated fleet beside a real server, sending through the server's own front door.

Owns the fleet's settings; called by the command `demo`. The invariant: nothing is shown that did
not come in as an HTTP request with an API key, so what the demo does is what the product does.
"""

from __future__ import annotations

import time

import httpx

from sensorcast.simulator import fleet, run
from sensorcast.simulator.sender import Sender

ORGANIZATION = "demo"
_PAST_S = 24 * 3_600.0
_PAST_INTERVAL_S = 60.0
_RECENT_S = 30 * 60.0
_RECENT_INTERVAL_S = 5.0
_FAILING_FOR_S = 6.5 * 3_600.0  # long enough that the dying compressor has just left the safe range when you look


async def send_fleet(base_url: str, api_key: str, *, units: int, interval_s: float, seed: int) -> None:
    """Deliver the last day of a fleet, then its present, until cancelled."""
    now_s = time.time()
    start_s = now_s - _PAST_S
    demo_fleet = fleet.build(
        units,
        seed=seed,
        start_s=start_s,
        interval_s=_PAST_INTERVAL_S,
        failing_since_s=now_s - _FAILING_FOR_S,
    )
    async with httpx.AsyncClient(trust_env=False) as client:  # the server is this process: no proxy reaches it
        sender = Sender(client, base_url, api_key)
        recent_s = now_s - _RECENT_S
        await run.send_past(demo_fleet, sender, from_s=start_s, to_s=recent_s, interval_s=_PAST_INTERVAL_S)
        await run.send_past(demo_fleet, sender, from_s=recent_s, to_s=now_s, interval_s=_RECENT_INTERVAL_S)
        await run.send_live(demo_fleet, sender, interval_s=interval_s, clock=time.time)
