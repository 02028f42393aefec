"""A healthy client in a process of its own, which notices every trouble that others cause.

    python -m tests.conformance.canary PORT

Owns three connections: bare Engine.IO over websocket and over polling, and a Socket.IO socket. Each sends something
20 times a second and waits for the answer. For each line on standard input, one line of JSON tells what happened since
the last one: {"answers", "worst_ms"}, or {"lost": why} once a connection failed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from .clients import SOCKET_PATH, Polling, Target, WebSocket, connect_namespace

INTERVAL_S = 0.05
ROOT = Path(__file__).parents[2]


class Canary:
    """The process, as a test sees it."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", f"{__package__}.canary", str(port)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )

    def report(self) -> dict[str, object]:
        """What happened since the last report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


class Watch:
    """What the connections have seen since the last report."""

    def __init__(self) -> None:
        self.answers = 0
        self.worst_ms = 0.0
        self.lost: str | None = None

    def take_report(self) -> dict[str, object]:
        seen = {"answers": self.answers, "worst_ms": round(self.worst_ms, 1)}
        self.answers, self.worst_ms = 0, 0.0
        return seen if self.lost is None else {"lost": self.lost}

    async def keep(self, name: str, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask for ever; note how long the slowest answer took, and the end."""
        try:
            while True:
                started = time.monotonic()
                await ask()
                self.worst_ms = max(self.worst_ms, (time.monotonic() - started) * 1000)
                self.answers += 1
                await asyncio.sleep(INTERVAL_S)
        except Exception as exc:
            self.lost = f"{name}: {exc!r}"


async def _ask(client: WebSocket | Polling, question: str, answer: str) -> None:
    await client.send(question)
    received = await client.receive()
    assert received == answer, f"{received[:200]!r} instead of {answer!r}"


async def main(port: int) -> None:
    target, watch = Target("canary", port), Watch()
    websocket, polling, socket = await target.websocket(), await target.polling(), await target.websocket(SOCKET_PATH)
    await connect_namespace(socket)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(watch.keep("websocket", lambda: _ask(websocket, "4tweet", "4tweet"))),
            group.create_task(watch.keep("polling", lambda: _ask(polling, "4tweet", "4tweet"))),
            group.create_task(watch.keep("socket", lambda: _ask(socket, '421["message-with-ack",2]', "431[2]"))),
        ]
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(watch.take_report()), flush=True)
        for task in tasks:
            task.cancel()
    target.abort_all()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
