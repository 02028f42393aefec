"""Rounds go on, whatever happens in one of them."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from sensorcast.errors import Unavailable
from sensorcast.rounds import repeat


class Work:
    """Fails in its first rounds, each time in another way."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.is_over = asyncio.Event()

    async def round(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.is_over.set()


async def test_trouble_and_faults_end_one_round_only_and_are_told_apart() -> None:
    work = Work(Unavailable("down"), RuntimeError("a fault"))
    with capture_logs() as logs:
        running = asyncio.create_task(repeat("watch", work.round, pause_s=0))
        async with asyncio.timeout(30):
            await work.is_over.wait()
        running.cancel()
    assert [(line["event"], line["log_level"], line["work"]) for line in logs] == [
        ("round_put_off", "warning", "watch"),
        ("round_failed", "error", "watch"),
    ]
    assert logs[0]["reason"] == "down"


async def test_it_ends_when_it_is_cancelled_also_within_a_round() -> None:
    running = asyncio.create_task(repeat("wait", asyncio.Event().wait, pause_s=0))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
