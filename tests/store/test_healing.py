"""A store in trouble tries one write at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from sensorcast.errors import Unavailable
from sensorcast.store.healing import Healing


async def test_one_attempt_follows_another_and_none_is_made_meanwhile() -> None:
    attempts: list[asyncio.Future[Any]] = []

    def rewrite() -> asyncio.Future[Any]:
        attempts.append(asyncio.get_running_loop().create_future())
        return attempts[-1]

    healing = Healing(rewrite)
    for end in (lambda: attempts[-1].set_exception(OSError("disk")), lambda: attempts[-1].cancel()):
        healing.attempt()
        healing.attempt()
        end()
        await asyncio.sleep(0)
    healing.attempt()
    assert len(attempts) == 3


async def test_a_full_queue_is_no_error() -> None:
    def refuse() -> asyncio.Future[Any]:
        raise Unavailable("full")

    Healing(refuse).attempt()
