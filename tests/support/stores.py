"""What opens one and the same store again and again, as contracts ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sensorcast.store import Store

S = TypeVar("S", bound=Store)


@asynccontextmanager
async def opener(make: Callable[[], S]) -> AsyncIterator[Callable[[], Awaitable[S]]]:
    """Give what opens another one each time it is called; all are closed at the end."""
    opened: list[S] = []

    async def open_one() -> S:
        store = make()
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()
