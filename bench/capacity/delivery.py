"""What a flush costs: a part that is always there, one for each reading, each write and each byte written."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.capacity.fit import fit
from bench.fanout.feeder import feeding
from bench.fanout.measure import arrived_within, window
from bench.servers import Workload
from bench.session import session

CLIENTS = (200, 1_000, 4_000)
UNITS = (1, 20, 100)
WARM_UP_S = 3.0


class Point(msgspec.Struct, frozen=True):
    """One second of one load."""

    clients: int
    units: int
    cpu_us_per_s: float
    events_per_s: float

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_us_per_s / self.events_per_s


class Delivery(msgspec.Struct, frozen=True):
    """What was measured, and what fits it best."""

    points: list[Point]
    bytes_per_event: float
    flush_us: float
    """A second with one flush in which one request came in, with nobody there."""
    reading_us: float
    """A reading taken in with others in one request, and its batch encoded once."""
    write_us: float
    """A connection that gets something in a flush."""
    byte_us: float

    def worst_error(self) -> float:
        """The largest difference between model and measurement, as a share of the measurement."""
        return max(abs(self.predicted_us(each) / each.cpu_us_per_s - 1) for each in self.points)

    def predicted_us(self, point: Point) -> float:
        """Processor time of a second, by the model."""
        own = self.flush_us + self.reading_us * point.units
        return own + point.clients * (self.write_us + self.byte_us * point.units * self.bytes_per_event)


def measure_delivery(seconds: float, clients: Sequence[int] = CLIENTS, units: Sequence[int] = UNITS) -> Delivery:
    """Run every combination, those with the same clients on one server."""
    points: list[Point] = []
    bytes_per_event = 0.0
    for count in clients:
        found, bytes_per_event = _with_clients(count, units, seconds)
        points += found
    rows = [(1.0, each.units, each.clients, each.clients * each.units * bytes_per_event) for each in points]
    return Delivery(points, bytes_per_event, *fit(rows, [each.cpu_us_per_s for each in points]))


def _with_clients(clients: int, units: Sequence[int], seconds: float) -> tuple[list[Point], float]:
    windows = []
    with session("sensorcast", Workload(1, clients, max(units))) as run:
        for count in units:
            with feeding(run.server, Workload(1, clients, count), run.plan.api_keys):
                windows.append(window(run.server, seconds, warm_up_s=WARM_UP_S))
        totals, arrivals = run.clients.finish()
    points = []
    for count, (first, last) in zip(units, windows, strict=True):
        window_s = (last.at_us - first.at_us) / 1e6
        events = len(arrived_within(arrivals, first, last))
        points.append(Point(clients, count, (last.cpu_ns - first.cpu_ns) / 1e3 / window_s, events / window_s))
    return points, totals.bytes / totals.events
