"""uvicorn in this process on a free port, as the programs run it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

DEADLINE_S = 30.0


@asynccontextmanager
async def running(app: Any, **options: Any) -> AsyncIterator[int]:
    """Serve `app` with these options of `uvicorn.Config`; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio, unlike uvloop, would not here
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, **{"lifespan": "off"} | options))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not server.started:
                    await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving
