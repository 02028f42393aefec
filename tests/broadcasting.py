"""A dashboard without a socket, a service with a fixed first number, and a loop whose time is virtual."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

from sensorcast.broadcaster import SensorStreamService
from sensorcast.hub import NO_ROOMS, Hub
from sensorcast.wire.frame import Bundle

NOW_US = 1_795_000_000_000_000


class Dashboard:
    """A subscriber that decodes what it gets, and may do something then."""

    def __init__(self, hub: Hub, *rooms: str, then: Callable[[], None] = lambda: None) -> None:
        self.rooms: frozenset[str] = NO_ROOMS
        self.batches: list[dict[str, Any]] = []
        self.bundles: list[Bundle] = []
        self.then = then
        for room in rooms:
            hub.join(self, room)

    def deliver(self, bundle: Bundle) -> None:
        self.bundles.append(bundle)
        for frame in bundle.frames:
            name, batch = json.loads(frame.text.removeprefix(b"42"))
            assert name == "sensor:readings:batch"
            self.batches.append(batch)
        self.then()

    @property
    def ids(self) -> list[str]:
        return [each["id"] for batch in self.batches for each in batch["readings"]]


class VirtualTimeSelector(selectors.DefaultSelector):
    """Never waits: the time the loop would have waited is added to its clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = VirtualTimeSelector()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now_s


def run_in_virtual_time(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(coroutine)


def service_of(hub: Hub, **options: Any) -> SensorStreamService:
    return SensorStreamService(hub, **{"now_us": lambda: NOW_US} | options)


def now_s() -> float:
    return round(asyncio.get_running_loop().time(), 3)
