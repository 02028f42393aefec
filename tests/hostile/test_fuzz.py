"""Fuzzed packets, frames, polling bodies and request heads over live connections.

Each attack must end in one of two ways: the connection still answers, or it is closed at once. Neither the canary nor
the memory of the server may show a trace of it. A run is reproduced by its seed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from tests.conformance import frames
from tests.conformance.clients import SOCKET_PATH, Closed, Target, WebSocket, connect_namespace
from tests.conformance.wire import ConnectionEnded, read_reply

from . import mutations
from .memory import expect_level, resident_bytes

SEED = 20_260_101
WORKERS = 24
PACKETS_PER_CONNECTION = 50
# A CONNECT that is always refused in the same words, whatever was connected before: proof that the server still reads.
FENCE, FENCE_ANSWER = "40/fence,", '44/fence,{"message":"Invalid namespace"}'


class Attack:
    """Workers that share a number of attacks to make, and count how they ended."""

    def __init__(self, target: Target, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._target = target
        self._random = Random(seed)
        self._left = 0

    async def run(self, count: int) -> None:
        """Make `count` attacks."""
        self._left = count
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while self._left > 0:
            await self._random.choices(
                (self._packets, self._broken_frames, self._payload, self._head), weights=(10, 2, 1, 1)
            )[0]()

    def _count(self, kind: str, outcome: str) -> None:
        self._left -= 1
        self.outcomes[f"{kind} {outcome}"] += 1

    async def _packets(self) -> None:
        """Packets on one websocket until it is closed, each followed by the fence."""
        websocket = await self._target.websocket(SOCKET_PATH)
        await connect_namespace(websocket)
        try:
            for _ in range(PACKETS_PER_CONNECTION):
                attack = mutations.messages(self._random)
                await websocket.send_bytes(attack + frames.text(FENCE))
                self._count("packet", await _fenced(websocket))
        except Closed:
            self._count("packet", "closed")
        websocket.wire.abort()

    async def _broken_frames(self) -> None:
        """Bytes that may announce more than comes; the end of our stream must end the connection."""
        websocket = await self._target.websocket(SOCKET_PATH)
        await websocket.send_bytes(frames.text("40") + mutations.broken_frames(self._random))
        await _end_of(websocket)
        self._count("frames", "closed")

    async def _payload(self) -> None:
        polling = await self._target.polling(SOCKET_PATH)
        reply = await polling.post(f"40\x1e{mutations.payload(self._random)}\x1e{FENCE}")
        answer = await polling.get()
        assert reply.status in (200, 400, 413), reply
        # `44` for the fence, or the close packet, or nothing more of this session.
        assert answer.status in (200, 400), answer
        self._count("payload", str(reply.status))
        await polling.post("1")

    async def _head(self) -> None:
        wire = await self._target.connect()
        await wire.send(mutations.head(self._random))
        wire.finish()
        try:
            status = str((await read_reply(wire)).status)
        except (ConnectionEnded, ValueError):
            status = "closed"
        assert status not in ("500", "501", "502"), status
        self._count("head", status)
        wire.abort()


async def _fenced(websocket: WebSocket) -> str:
    while await websocket.receive() != FENCE_ANSWER:
        pass
    return "survived"


async def _end_of(websocket: WebSocket) -> None:
    websocket.wire.finish()
    await websocket.wait_ended()


async def _fuzz(target: Target, count: int, seed: int) -> Counter[str]:
    attack = Attack(target, seed)
    await attack.run(count // 10)
    level_bytes = resident_bytes(target.pid)
    await attack.run(count)
    await expect_level(target.pid, level_bytes)
    return attack.outcomes


async def test_20_000_fuzzed_packets_harm_nobody(patient_server: Target, canary) -> None:
    outcomes = await _fuzz(patient_server, 20_000, SEED)

    print(dict(outcomes))
    assert sum(outcomes.values()) >= 20_000
    assert outcomes["packet survived"] > 1_000, "the mutations reach nothing behind the first check"
    assert outcomes["packet closed"] > 1_000


@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_a_million_fuzzed_packets_harm_nobody(patient_server: Target, canary) -> None:
    outcomes = await _fuzz(patient_server, 1_000_000, SEED + 1)

    print(dict(outcomes))
    assert sum(outcomes.values()) >= 1_000_000
