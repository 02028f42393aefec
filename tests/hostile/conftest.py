"""The victim of the hostile tests, and the canary beside it.

Servers and canary are those of the conformance suite, but only sensorcast is attacked: the reference dies of some.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.clients import Target
from tests.conformance.conftest import canaries, canary, running, target_of

__all__ = ["canaries", "canary", "running"]  # fixtures, found here by pytest


@pytest.fixture
async def patient_server(running) -> AsyncIterator[Target]:
    """The conformance server with the default heartbeat."""
    async for target in target_of(running("sensorcast", 25_000, 20_000)):
        yield target


@pytest.fixture
async def hasty_server(running) -> AsyncIterator[Target]:
    """The conformance server with the short heartbeat, whose sessions time out within half a second."""
    async for target in target_of(running("sensorcast", 300, 200)):
        yield target


def pytest_itemcollected(item: pytest.Item) -> None:
    """Limits of half a second, and a canary that must be answered, cannot be judged while the machine stands still."""
    item.add_marker("real_time")
