"""What a process does again and again in the background: looking for news, deleting what is old.

The invariant: whatever goes wrong in one round ends that round and nothing else, and is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sensorcast.errors import SensorcastError

_log = structlog.get_logger(__name__)


async def repeat(name: str, work: Callable[[], Awaitable[object]], *, pause_s: float) -> None:
    """Do `work` and pause, again and again, until cancelled; `name` says in the log what it is."""
    while True:
        try:
            await work()
        except SensorcastError as exc:  # known trouble, of the store for one: the next round tries again
            _log.warning("round_put_off", work=name, reason=exc.message)
        except Exception:  # a fault of ours must not end what nobody would start again
            _log.exception("round_failed", work=name)
        await asyncio.sleep(pause_s)
