"""Doors for the tests of the ingest endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sensorcast.settings import Settings
from tests.ingest.door import Door, OpenDoor


@pytest.fixture
def short() -> bool:
    """Whether requests go the short way where they may; a module may say that they do both."""
    return False


@pytest.fixture
async def open_door(tmp_path: Path, short: bool) -> AsyncIterator[OpenDoor]:
    doors: list[Door] = []

    async def open_one(**settings: Any) -> Door:
        door = Door(tmp_path / "readings.db", Settings(**{"store_busy_timeout_ms": 100} | settings), short=short)
        await door.open()
        doors.append(door)
        return door

    yield open_one
    for door in doors:
        await door.client.aclose()
        await door.store.close()


@pytest.fixture
async def door(open_door: OpenDoor) -> Door:
    return await open_door()
