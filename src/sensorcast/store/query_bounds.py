"""How many queries may wait for a store, or run, at the same time.

The invariant: beyond `QUERIES_MAX` a query is refused at once rather than answered too late. Used on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sensorcast.errors import Unavailable

QUERIES_MAX: Final = 512
"""Far more than run at the same time, so that a burst waits; few enough to be answered while somebody listens."""


class QueryBounds:
    """The queries that wait or run."""

    def __init__(self) -> None:
        self._queries = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for one query. Raises `Unavailable` when there is none."""
        if self._queries >= QUERIES_MAX:
            raise Unavailable(f"{QUERIES_MAX} queries are waiting already", retry_after_s=1)
        self._queries += 1
        try:
            yield
        finally:
            self._queries -= 1
