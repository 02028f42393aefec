"""What does `hub.publish` cost per delivered event, without sockets? 5,000 subscribers in memory, four ways to follow.

Each subscriber's `deliver` only adds up bytes, so this is the cost of choosing, joining and looping: the rest of a
delivery is the system call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from bench.machine import describe
from bench.micro.timing import best_ns
from sensorcast.hub import NO_ROOMS, Batch, Hub
from sensorcast.wire.frame import Bundle
from sensorcast.wire.socketio import event_frame

SUBSCRIBERS = 5_000
PAYLOAD = b'{"unitId":"unit-1","readings":[' + b"x" * 180 + b'],"count":1,"seq":1795000000000000}'

Rooms = Callable[[int, int], tuple[str, ...]]
CHOICES: dict[str, Rooms] = {
    "all in the organization room": lambda number, units: ("org",),
    "in the organization room and one unit room": lambda number, units: ("org", f"unit-{number % units}"),
    "each in one unit room only": lambda number, units: (f"unit-{number % units}",),
    "each in 10 unit rooms only": lambda number, units: tuple(f"unit-{(number + n) % units}" for n in range(10)),
}


class Subscriber:
    """Counts bytes."""

    __slots__ = ("received_bytes", "rooms")

    def __init__(self) -> None:
        self.rooms: frozenset[str] = NO_ROOMS
        self.received_bytes = 0

    def deliver(self, bundle: Bundle) -> None:
        self.received_bytes += len(bundle.websocket)


def filled_hub(rooms: Rooms, units: int) -> Hub:
    hub = Hub()
    for number in range(SUBSCRIBERS):
        subscriber = Subscriber()
        for room in rooms(number, units):
            hub.join(subscriber, room)
    return hub


def batches_of(units: int) -> list[Batch]:
    return [Batch((f"unit-{unit}",), event_frame("sensor:readings:batch", PAYLOAD)) for unit in range(units)]


def publish(hub: Hub, batches: list[Batch]) -> None:
    for _ in hub.publish_in_slices("org", batches):
        pass


def events_per_subscriber(rooms: Rooms, units: int) -> int:
    names = rooms(0, units)
    return units if "org" in names else len(set(names))


def main() -> None:
    print(__doc__)
    print(describe("sensorcast"), end="\n\n")
    print(f"{'units':>6}{'per subscriber':>18}{'per event':>14}   who follows what")
    for units in (20, 500):
        for what, rooms in CHOICES.items():
            hub = filled_hub(rooms, units)
            cost_ns = best_ns(partial(batches_of, units), partial(publish, hub), per=SUBSCRIBERS)
            print(f"{units:>6}{cost_ns:>15,.0f} ns{cost_ns / events_per_subscriber(rooms, units):>11,.1f} ns   {what}")


if __name__ == "__main__":
    sys.exit(main())
