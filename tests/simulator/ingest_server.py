"""A small ingest server on a free port: remembers natural keys, and answers as a test's script tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class IngestServer:
    """What the server got and what it answers next: scripted answers first, then the truth."""

    url: str = ""
    script: list[Response] = field(default_factory=list)
    stored: list[dict[str, object]] = field(default_factory=list)
    requests: int = 0
    keys: set[tuple[object, ...]] = field(default_factory=set)
    store_before_script: bool = False
    """Store the readings, then give the scripted answer: an acknowledgement lost on the way."""

    async def answer(self, request: Request) -> Response:
        self.requests += 1
        readings = msgspec.json.decode(await request.body())["readings"]
        if self.script:
            if self.store_before_script:
                self._store(readings)
            return self.script.pop(0)
        fresh = self._store(readings)
        return JSONResponse(
            {"success": True, "insertedCount": fresh, "duplicateCount": len(readings) - fresh, "rejected": []}
        )

    def _store(self, readings: list[dict[str, object]]) -> int:
        before = len(self.stored)
        for reading in readings:
            key = (reading["unitId"], reading["deviceId"], reading["recordedAt"])
            if key not in self.keys:
                self.keys.add(key)
                self.stored.append(reading)
        return len(self.stored) - before


@contextlib.asynccontextmanager
async def ingest_server() -> AsyncIterator[IngestServer]:
    """Serve until the block ends."""
    state = IngestServer()
    app = Starlette(routes=[Route("/api/ingest/readings", state.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.should_exit = True
        await serving
