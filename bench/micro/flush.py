"""What do taking readings in, encoding and a whole flush cost? 20 and 500 units, 1 and 10 readings each.

add: per reading; encode (sort, JSON, event, WebSocket frame) and flush (drain, encode, publish to one subscriber): per
batch, which is one unit; get:latest:all: per unit.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from itertools import count

import structlog

from bench.machine import describe
from bench.micro.timing import best_ns
from sensorcast.broadcaster import BATCH_EVENT, SensorStreamService
from sensorcast.hub import NO_ROOMS, Hub
from sensorcast.model import Reading, Room
from sensorcast.stream import SensorStream
from sensorcast.stream.outgoing import batch_payloads, readings_json
from sensorcast.wire.frame import Bundle
from sensorcast.wire.socketio import event_frame

T0_US = 1_795_000_000_000_000
SHAPES = ((20, 1), (20, 10), (500, 1), (500, 10))


class Subscriber:
    """Asks for the bytes, as a socket does, and throws them away."""

    rooms: frozenset[str] = NO_ROOMS

    def deliver(self, bundle: Bundle) -> None:
        assert bundle.websocket


def reading(number: int, units: int) -> Reading:
    """One reading as a fleet sends it; all are within a second, at distinct microseconds."""
    unit_id, at_us = f"unit-{number % units}", T0_US + number * 97
    return Reading(
        organization_id="org",
        unit_id=unit_id,
        recorded_at_us=at_us,
        received_at_us=at_us + 1_000,
        device_id="probe-1",
        temperature=4.25 + number % 7,
        humidity=61.5,
        battery=88,
        signal_strength=-71,
    )


def add(stream: SensorStream, readings: list[Reading]) -> SensorStream:
    for each in readings:
        stream.add_reading("org", each)
    return stream


def encode(units: dict[str, list[Reading]], next_seq: Callable[[], int]) -> None:
    for unit_id, readings in units.items():
        for payload in batch_payloads(unit_id, readings, max_bytes=262_144, next_seq=next_seq):
            assert event_frame(BATCH_EVENT, payload).websocket


def row(units: int, each: int) -> str:
    """Measure one shape of flush."""
    readings = [reading(number, units) for number in range(units * each)]
    hub = Hub()
    hub.join(Subscriber(), Room.organization(readings[0]))
    drained = add(SensorStream(), readings).drain()["org"].units
    with asyncio.Runner() as runner:
        costs_ns = (
            best_ns(SensorStream, lambda stream: add(stream, readings), per=len(readings)),
            best_ns(lambda: count(T0_US).__next__, lambda next_seq: encode(drained, next_seq), per=units),
            best_ns(
                lambda: SensorStreamService(hub, stream=add(SensorStream(), readings)),
                lambda service: runner.run(service.flush()),
                per=units,
            ),
            best_ns(lambda: readings[-units:], readings_json, per=units),
        )
    return f"{f'{units} x {each}':>16}" + "".join(f"{cost_ns:>13,.0f} ns" for cost_ns in costs_ns)


def main() -> None:
    print(__doc__)
    print(describe("sensorcast", "msgspec"), end="\n\n")
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(open("/dev/null", "w")))  # noqa: SIM115
    print(f"{'units x readings':>16}{'add':>16}{'encode':>16}{'flush':>16}{'get:latest:all':>16}")
    for units, each in SHAPES:
        print(row(units, each))


if __name__ == "__main__":
    sys.exit(main())
