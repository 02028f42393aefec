"""How a store whose writes have failed finds out that they work again.

The invariant: at most one write of its own is under way, and only while there is trouble.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sensorcast.errors import Unavailable


class Healing:
    """`rewrite` hands the writer a write that changes nothing; the writer's `failure` says what became of it."""

    def __init__(self, rewrite: Callable[[], asyncio.Future[Any]]) -> None:
        self._rewrite = rewrite
        self._attempt: asyncio.Future[Any] | None = None

    def attempt(self) -> None:
        """Try to write, unless that is under way: while we say that we are not ready, nobody else may send anything."""
        if self._attempt is None or self._attempt.done():
            with suppress(Unavailable):  # the queue is full: the work in it will tell as well
                self._attempt = self._rewrite()
                self._attempt.add_done_callback(_mark_seen)


def _mark_seen(attempt: asyncio.Future[Any]) -> None:
    """Take note of an error, which the writer has logged and kept in `failure` already."""
    if not attempt.cancelled():
        attempt.exception()
