"""A Socket.IO client just large enough to ask and to listen: one WebSocket, one namespace, everything that came kept.

The invariant: `received` holds every byte the server sent on this connection since it was last taken.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from types import TracebackType
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ANSWER_S: Final = 15.0


class Refused(Exception):
    """The server did not accept the CONNECT; holds what it said."""


class Socket:
    """A connected client, as an async context.

    Entering raises `Refused` when its credentials are not taken, `ConnectionError` where there is no such server.
    """

    def __init__(self, url: str, auth: dict[str, Any]) -> None:
        self.received: list[str] = []
        self._url = url.replace("http", "ws", 1).rstrip("/") + "/socket.io/?EIO=4&transport=websocket"
        self._auth = auth
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._connection: ClientConnection | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server has not ended it."""
        return self._reading is not None and not self._reading.done()

    async def __aenter__(self) -> Self:
        try:
            self._connection = await connect(self._url, max_size=None, open_timeout=ANSWER_S)
        except InvalidHandshake as exc:
            raise ConnectionError(f"no Socket.IO server: {type(exc).__name__}") from exc
        async with asyncio.timeout(ANSWER_S):
            await self._connection.recv(decode=True)
            await self._connection.send("40" + json.dumps(self._auth))
            answer = await self._connection.recv(decode=True)
        self.received.append(str(answer))
        if not str(answer).startswith("40"):
            await self._connection.close()
            raise Refused(answer)
        self._reading = asyncio.create_task(self._read(self._connection))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()
        if self._reading is not None:
            await self._reading

    async def ask(self, event: str, *args: Any) -> Any:
        """Send an event and give the server's answer. Raises `TimeoutError` or `ConnectionClosed`."""
        assert self._connection is not None  # noqa: S101 - entered before it is asked
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(f"42{number}" + json.dumps([event, *args]))
        async with asyncio.timeout(ANSWER_S):
            return await answer

    def take(self) -> str:
        """Give everything that came since the last call."""
        taken, self.received = self.received, []
        return "\n".join(taken)

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for message in connection:
                text = message if isinstance(message, str) else message.decode("utf-8", "replace")
                if text == "2":
                    await connection.send("3")
                    continue
                self.received.append(text)
                self._answer(text)
        except ConnectionClosed:
            pass  # the end of the iteration; whoever still waits learns it below
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the server ended the connection"))

    def _answer(self, text: str) -> None:
        if not text.startswith("43"):
            return
        start = text.index("[")
        waiting = self._answers.pop(int(text[2:start]), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(json.loads(text[start:])[0])
