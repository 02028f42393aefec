"""python-socketio on uvicorn, as one would write it: each unit's batch is emitted to its organization's room.

python -m bench.peers.python_server PORT ORGANIZATIONS CONNECTIONS UNITS

The organization comes from the CONNECT auth. Emits begin once all CONNECTIONS are there. `seq` of a batch is the start
of its flush in microseconds since 1970, so that the load client's records tell how long each delivery took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Any

import socketio
import uvicorn

FIRST_FLUSH_AFTER_S = 3.0


class Peer:
    """The server: who connects joins its organization's room, and a task flushes once a second."""

    def __init__(self, organizations: int, connections: int, units: int) -> None:
        self.organizations, self.connections, self.units = organizations, connections, units
        self.joined = 0
        self.flushing: asyncio.Task[None] | None = None
        self.sockets = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
        self.sockets.on("connect", self.connect)

    async def connect(self, sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
        if not auth or not auth.get("token"):
            raise socketio.exceptions.ConnectionRefusedError("no token")
        await self.sockets.enter_room(sid, f"org:{auth['organizationId']}")
        await self.sockets.emit("connection:ack", {"socketId": sid}, to=sid)
        self.joined += 1
        if self.joined == self.connections and self.units:
            self.flushing = asyncio.create_task(self.flush_every_second())

    async def flush_every_second(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + FIRST_FLUSH_AFTER_S
        while True:
            await asyncio.sleep(due_s - loop.time())
            await self.flush()
            due_s = max(due_s + 1, loop.time())

    async def flush(self) -> None:
        started_us = time.time_ns() // 1_000
        recorded_at = datetime.fromtimestamp(started_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for organization in range(self.organizations):
            for unit in range(self.units):
                batch = batch_of(organization, unit, recorded_at, started_us)
                await self.sockets.emit("sensor:readings:batch", batch, room=f"org:org-{organization}")


def batch_of(organization: int, unit: int, recorded_at: str, seq: int) -> dict[str, Any]:
    reading = {
        "id": f"0192f3a0-{1000 + organization}-7000-8000-00000000{1000 + unit}",
        "deviceId": "probe-1",
        "temperature": 4.25,
        "humidity": 61.5,
        "battery": 88,
        "signalStrength": -71,
        "metrics": None,
        "recordedAt": recorded_at,
        "timestamp": recorded_at,
        "source": "api",
    }
    return {"unitId": f"unit-{unit}", "readings": [reading], "count": 1, "seq": seq}


def main() -> None:
    port, organizations, connections, units = map(int, sys.argv[1:])
    app = socketio.ASGIApp(Peer(organizations, connections, units).sockets)
    uvicorn.run(app, port=port, log_level="warning", loop="uvloop", ws_per_message_deflate=False, backlog=4_096)


if __name__ == "__main__":
    main()
