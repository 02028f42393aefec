"""Taking turns at the database: several worker processes that write all the time let each other through.

Owns two locks on files beside the database. SQLite lets only one process write and makes the others try again with
growing pauses, so that the one that has just written is mostly the next again, and somebody may wait for a second.
Here who wants to write first takes the place of the next, and gives it up once it writes: whoever has just written
has to line up again. The invariants: a process that dies gives up both locks; one that hangs keeps the others waiting
no longer than the busy timeout, after which SQLite itself decides.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOOK_EVERY_S: Final = 0.000_5
"""Time between two tries: a small part of the shortest commit."""


class WriteTurns:
    """The turns of one process. Belongs to the writer's thread."""

    def __init__(self, database: Path, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        self._next = os.open(database.with_name(f"{database.name}.next"), flags, 0o600)
        self._turn = os.open(database.with_name(f"{database.name}.turn"), flags, 0o600)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until it is our turn, or for the timeout."""
        until_s = time.monotonic() + self._timeout_s
        if _lock(self._next, until_s):
            _lock(self._turn, until_s)
            fcntl.flock(self._next, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up both locks and close their files."""
        os.close(self._next)
        os.close(self._turn)


def _lock(descriptor: int, until_s: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
            time.sleep(_LOOK_EVERY_S)
        else:
            return True
