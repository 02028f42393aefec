"""A TCP proxy that cuts connections at a chosen moment: when certain bytes pass, before or after they are answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum


class Cut(Enum):
    """When to cut the connection on which the bytes pass."""

    BEFORE = "before the server gets them"
    UNANSWERED = "after the server got them and answered, before the client gets the answer"


@dataclass
class FaultProxy:
    """Forwards to `port` of the loopback interface; use as an async context manager. `cuts` counts what it did.

    `at_cut` runs before the client learns that it was cut off.
    """

    port: int
    trigger: bytes
    cut: Cut
    cuts_left: int = 1
    cuts: int = 0
    at_cut: Callable[[], Awaitable[None]] | None = None
    own_port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.own_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(_pump(server, to_client))
        try:
            while data := await client.read(65_536):
                if self.cuts_left and self.trigger in data:
                    self.cuts_left -= 1
                    self.cuts += 1
                    if self.cut is Cut.UNANSWERED:
                        back.cancel()
                        await asyncio.gather(back, return_exceptions=True)
                        to_server.write(data)
                        await server.read(1)  # the server has done it; nobody will be told
                    if self.at_cut is not None:
                        await self.at_cut()
                    return
                to_server.write(data)
                await to_server.drain()
        except OSError:
            pass  # one side is gone: the other is closed below
        finally:
            back.cancel()
            for writer in (to_client, to_server):
                with contextlib.suppress(RuntimeError):
                    writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
