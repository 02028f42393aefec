"""A fleet of simulated units over some sites, each with its device, radio and battery.

Owns which units there are, how often each is measured, and what its radio link does to the readings. The invariant:
a fleet is a function of its seed and of the moments it is asked about; two fleets with the same arguments measure the
same values, and a device's readings always come out in the order in which they were taken.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import msgspec

from sensorcast.model import format_time
from sensorcast.simulator import physics

SITES: Final = ("harbour", "old-town", "airport", "riverside", "hillside", "market", "station", "campus")
_UNITS_PER_SITE: Final = 8
_MODELS: Final = (
    ("kitchen-fridge", physics.RETAIL_COOLER),
    ("pharmacy-fridge", physics.MEDICAL_FRIDGE),
    ("storage-freezer", physics.FREEZER),
    ("walk-in", physics.WALK_IN),
    ("deli-cooler", physics.RETAIL_COOLER),
    ("lab-ultralow", physics.ULTRA_LOW),
    ("vaccine-fridge", physics.MEDICAL_FRIDGE),
    ("server-room", physics.SERVER_ROOM),
)
_HELD_MAX_READINGS: Final = 600  # what a small logger's memory holds; the oldest are lost first
_DYING_HALF_LIFE_S: Final = 1.5 * 3_600.0
_BATTERY_LIFE_S: Final = 400 * 86_400.0


class Measurement(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One reading as a device sends it: the item of an ingest request."""

    unit_id: str
    site_id: str
    device_id: str
    recorded_at: str
    temperature: float
    humidity: float | None = None
    battery: int | None = None
    signal_strength: int | None = None
    metrics: dict[str, float] = {}
    source: str = "api"


@dataclass(slots=True)
class Link:
    """The radio between a device and its gateway: up, holding readings back for later, or losing them."""

    rng: Random
    flaky: bool
    mode: str = "up"
    mode_ends_s: float = 0.0
    held: deque[Measurement] = field(default_factory=lambda: deque(maxlen=_HELD_MAX_READINGS))

    def carry(self, measured: Measurement, at_s: float) -> list[Measurement]:
        """Give what arrives when `measured` is sent: nothing, itself, or everything held back so far and itself."""
        if self.flaky and at_s >= self.mode_ends_s:
            self.mode = self.rng.choices(("up", "holding", "lost"), (6, 3, 1))[0]
            self.mode_ends_s = at_s + self.rng.uniform(40.0, 150.0)
        if self.mode == "lost":
            return []
        self.held.append(measured)
        if self.mode == "holding":
            return []
        arrived = list(self.held)
        self.held.clear()
        return arrived


@dataclass(slots=True, kw_only=True)
class Unit:
    """One refrigerator with the sensor in it."""

    unit_id: str
    device_id: str
    kind: physics.Kind
    state: physics.State
    rng: Random
    link: Link
    measured_at_s: float
    """The moment of the last measurement; the unit has lived up to here."""
    failing_since_s: float | None = None
    battery_percent: float = 100.0
    signal_centre_dbm: float = -60.0
    fading_db: float = 0.0

    def measure(self, at_s: float) -> list[Measurement]:
        """Live until `at_s`, measure, and give what the link lets through."""
        capacity = self._capacity(at_s)
        self.state = physics.run(
            self.kind, self.state, from_s=self.measured_at_s, to_s=at_s, capacity=capacity, rng=self.rng
        )
        if self.kind.battery_powered:
            self.battery_percent = max(0.0, self.battery_percent - 100 * (at_s - self.measured_at_s) / _BATTERY_LIFE_S)
        self.measured_at_s = at_s
        return self.link.carry(self._observe(at_s, capacity), at_s)

    def _observe(self, at_s: float, capacity: float) -> Measurement:
        self.fading_db = 0.92 * self.fading_db + self.rng.gauss(0.0, 1.4)
        return Measurement(
            unit_id=self.unit_id,
            site_id=self.unit_id.partition(".")[0],
            device_id=self.device_id,
            recorded_at=format_time(int(at_s * 1_000) * 1_000),
            temperature=physics.temperature(self.kind, self.state, self.rng),
            humidity=physics.humidity(self.kind, self.state, self.rng),
            battery=round(self.battery_percent) if self.kind.battery_powered else None,
            signal_strength=round(max(-119.0, min(-30.0, self.signal_centre_dbm + self.fading_db))),
            metrics={
                "powerW": physics.power_w(self.kind, self.state, capacity, self.rng),
                "doorOpen": 1.0 if self.state.door_left_s > 0 else 0.0,
            },
        )

    def _capacity(self, at_s: float) -> float:
        if self.failing_since_s is None or at_s <= self.failing_since_s:
            return 1.0
        return float(2.0 ** ((self.failing_since_s - at_s) / _DYING_HALF_LIFE_S))


class Fleet:
    """All units, measured in the order of time."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units

    def measure(self, until_s: float, interval_s: float) -> Iterator[Measurement]:
        """Yield everything that arrives up to `until_s`, every unit measured each `interval_s`, in order of time."""
        due = [(unit.measured_at_s + interval_s, index) for index, unit in enumerate(self.units)]
        heapq.heapify(due)
        while due and due[0][0] <= until_s:
            at_s, index = due[0]
            yield from self.units[index].measure(at_s)
            heapq.heapreplace(due, (at_s + interval_s, index))


def build(size: int, *, seed: int, start_s: float, interval_s: float, failing_since_s: float) -> Fleet:
    """Build `size` units that start living at `start_s`. One in 24 has a dying compressor, one in 24 a flaky radio."""
    return Fleet([_unit(index, size, seed, start_s, interval_s, failing_since_s) for index in range(size)])


def unit_id(index: int, size: int) -> str:
    """Name the unit at `index` as `<site>.<place>-<number in the site>`, like `harbour.kitchen-fridge-01`."""
    site_count = max(1, min(len(SITES), size // _UNITS_PER_SITE))
    site, rank = SITES[index % site_count], index // site_count
    return f"{site}.{_MODELS[rank % len(_MODELS)][0]}-{rank // len(_MODELS) + 1:02d}"


def _unit(index: int, size: int, seed: int, start_s: float, interval_s: float, failing_since_s: float) -> Unit:
    name = unit_id(index, size)
    rng = Random(f"{seed}/{name}")  # noqa: S311 - weather, not secrets
    site_count = max(1, min(len(SITES), size // _UNITS_PER_SITE))
    kind = _MODELS[index // site_count % len(_MODELS)][1]
    return Unit(
        unit_id=name,
        device_id=f"tx-{rng.getrandbits(24):06x}",
        kind=kind,
        state=physics.at_rest(kind, rng),
        rng=rng,
        link=Link(rng=rng, flaky=index % 24 == 13),
        measured_at_s=start_s - rng.uniform(0.0, interval_s),
        failing_since_s=failing_since_s if index % 24 == 4 else None,
        battery_percent=9.0 if index % 24 == 6 else rng.uniform(48.0, 100.0),
        signal_centre_dbm=-83.0 if index % 24 == 13 else rng.uniform(-84.0, -48.0),
    )
