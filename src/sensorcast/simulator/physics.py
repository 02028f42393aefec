"""How the inside of a refrigeration unit behaves: pure functions of a state, a time step and given randomness.

Two bodies exchange heat: the air the sensor hangs in, and the contents, which are slow. A thermostat with hysteresis
switches the compressor; doors let the room in; freezers heat their coil from time to time to get rid of ice. The
invariant: nothing here reads a clock or a global random source, so the same arguments always give the same curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final

LONGEST_STEP_S: Final = 10.0
"""Longest Euler step; the fastest exchange below takes about 100 s, so this stays stable and smooth."""

_DAY_S: Final = 86_400.0
_QUIET_ACTIVITY: Final = 0.2  # even at night somebody fetches something


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a class of units has in common. Rates ending in `_per_s` are 1 / time constant."""

    name: str
    setpoint_c: float
    band_c: float
    """The thermostat switches at setpoint +- band."""
    room_c: float = 22.0
    room_swing_c: float = 1.5
    """The room is this much warmer in the afternoon and colder at night."""
    leak_per_s: float
    """Heat through the walls, air to room."""
    contents_per_s: float = 0.002
    """Heat between air and contents, seen by the air."""
    contents_mass: float = 12.0
    """How many times slower the contents are than the air."""
    cooling_c_per_s: float
    load_c_per_s: float = 0.0
    """Heat made inside: none in a fridge, a lot in a server room."""
    door_leak_per_s: float = 0.006
    doors_per_h: float
    door_open_s: float
    """Mean time a door stays open."""
    humidity: float | None
    """Resting relative humidity; None: this kind has no humidity sensor."""
    defrost_every_s: float | None = None
    defrost_s: float = 900.0
    defrost_c_per_s: float = 0.0
    noise_c: float = 0.04
    resolution_c: float = 0.1
    compressor_w: float
    battery_powered: bool = True


MEDICAL_FRIDGE: Final = Kind(
    name="medical-fridge",
    setpoint_c=4.8,
    band_c=1.0,
    leak_per_s=0.00033,
    cooling_c_per_s=0.018,
    door_leak_per_s=0.004,
    doors_per_h=3,
    door_open_s=10,
    humidity=45,
    resolution_c=0.01,
    noise_c=0.015,
    compressor_w=140,
)
RETAIL_COOLER: Final = Kind(
    name="retail-cooler",
    setpoint_c=3.6,
    band_c=1.4,
    room_c=23.0,
    leak_per_s=0.0004,
    cooling_c_per_s=0.022,
    doors_per_h=14,
    door_open_s=14,
    humidity=68,
    compressor_w=320,
)
FREEZER: Final = Kind(
    name="freezer",
    setpoint_c=-20.0,
    band_c=1.5,
    leak_per_s=0.00011,
    contents_per_s=0.0025,
    contents_mass=20.0,
    cooling_c_per_s=0.017,
    door_leak_per_s=0.004,
    doors_per_h=4,
    door_open_s=15,
    humidity=62,
    defrost_every_s=6 * 3_600.0,
    defrost_s=12 * 60.0,
    defrost_c_per_s=0.021,
    compressor_w=410,
)
WALK_IN: Final = Kind(
    name="walk-in",
    setpoint_c=2.0,
    band_c=0.9,
    room_c=24.0,
    room_swing_c=2.5,
    leak_per_s=0.0002,
    contents_mass=40.0,
    cooling_c_per_s=0.013,
    door_leak_per_s=0.0025,
    doors_per_h=8,
    door_open_s=45,
    humidity=80,
    compressor_w=1_450,
    battery_powered=False,
)
ULTRA_LOW: Final = Kind(
    name="ultra-low",
    setpoint_c=-80.0,
    band_c=2.0,
    room_c=21.0,
    room_swing_c=0.8,
    leak_per_s=0.00007,
    contents_per_s=0.003,
    contents_mass=30.0,
    cooling_c_per_s=0.021,
    door_leak_per_s=0.003,
    doors_per_h=0.7,
    door_open_s=25,
    humidity=None,
    compressor_w=780,
    battery_powered=False,
)
SERVER_ROOM: Final = Kind(
    name="server-room",
    setpoint_c=23.0,
    band_c=0.8,
    room_c=24.0,
    leak_per_s=0.0004,
    contents_mass=8.0,
    cooling_c_per_s=0.013,
    load_c_per_s=0.005,
    door_leak_per_s=0.002,
    doors_per_h=1,
    door_open_s=30,
    humidity=44,
    compressor_w=3_200,
    battery_powered=False,
)
KINDS: Final = (MEDICAL_FRIDGE, RETAIL_COOLER, FREEZER, WALK_IN, ULTRA_LOW, SERVER_ROOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything about the inside of one unit at one moment."""

    air_c: float
    contents_c: float
    compressor_on: bool
    damp: float = 0.0
    """Humidity above the resting one, in % RH: let in by the door, taken out by the cold coil."""
    door_left_s: float = 0.0
    defrost_left_s: float = 0.0
    next_defrost_s: float = math.inf


def at_rest(kind: Kind, rng: Random) -> State:
    """Give the state of a healthy unit somewhere in its cycle."""
    return State(
        air_c=rng.uniform(kind.setpoint_c - kind.band_c, kind.setpoint_c + kind.band_c),
        contents_c=kind.setpoint_c,
        compressor_on=rng.random() < 0.4,
        next_defrost_s=rng.uniform(0.0, kind.defrost_every_s) if kind.defrost_every_s else math.inf,
    )


def room_temperature(kind: Kind, epoch_s: float) -> float:
    """Give the temperature of the room around a unit: warmest at 15 h UTC, coldest at 3 h."""
    return kind.room_c + kind.room_swing_c * math.sin(2 * math.pi * (epoch_s % _DAY_S - 9 * 3_600) / _DAY_S)


def activity(epoch_s: float) -> float:
    """Tell how busy people are, 0.2 at night to 1 at noon (UTC); scales how often doors open."""
    daylight = math.sin(math.pi * (epoch_s % _DAY_S - 5 * 3_600) / (14 * 3_600))
    return max(_QUIET_ACTIVITY, daylight if 5 <= epoch_s % _DAY_S / 3_600 <= 19 else 0.0)


def run(kind: Kind, state: State, *, from_s: float, to_s: float, capacity: float, rng: Random) -> State:
    """Let a unit live from one moment to another; `capacity` is the share of its cooling power the unit still has."""
    now_s = from_s
    while now_s < to_s:
        dt_s = min(LONGEST_STEP_S, to_s - now_s)
        state = advance(kind, state, now_s=now_s, dt_s=dt_s, capacity=capacity, rng=rng)
        now_s += dt_s
    return state


def advance(kind: Kind, state: State, *, now_s: float, dt_s: float, capacity: float, rng: Random) -> State:
    """Give the state one step later. `dt_s` is at most `LONGEST_STEP_S`."""
    door_left_s = _door(kind, state, now_s=now_s, dt_s=dt_s, rng=rng)
    defrost_left_s, next_defrost_s = _defrost(kind, state, dt_s)
    compressor_on = defrost_left_s <= 0 and _thermostat(kind, state)
    room_c = room_temperature(kind, now_s)
    leak_per_s = kind.leak_per_s + (kind.door_leak_per_s if door_left_s > 0 else 0.0)
    slope = leak_per_s * (room_c - state.air_c) + kind.load_c_per_s
    slope += kind.contents_per_s * (state.contents_c - state.air_c)
    slope -= kind.cooling_c_per_s * capacity if compressor_on else 0.0
    slope += kind.defrost_c_per_s if defrost_left_s > 0 else 0.0
    into_contents = kind.contents_per_s / kind.contents_mass * (state.air_c - state.contents_c)
    return State(
        air_c=state.air_c + slope * dt_s,
        contents_c=state.contents_c + into_contents * dt_s,
        compressor_on=compressor_on,
        damp=_damp(state, door_open=door_left_s > 0, compressor_on=compressor_on, dt_s=dt_s),
        door_left_s=door_left_s,
        defrost_left_s=defrost_left_s,
        next_defrost_s=next_defrost_s,
    )


def temperature(kind: Kind, state: State, rng: Random) -> float:
    """Give what the sensor reports: the air, with noise, in steps of its resolution."""
    noisy = state.air_c + rng.gauss(0.0, kind.noise_c)
    return round(round(noisy / kind.resolution_c) * kind.resolution_c, 3)


def humidity(kind: Kind, state: State, rng: Random) -> float | None:
    """Give the reported relative humidity, or None for a kind without that sensor."""
    if kind.humidity is None:
        return None
    return round(min(100.0, max(0.0, kind.humidity + state.damp + rng.gauss(0.0, 0.25))), 1)


def power_w(kind: Kind, state: State, capacity: float, rng: Random) -> float:
    """Give the electric power drawn; a dying compressor draws more current for less cold."""
    if state.defrost_left_s > 0:
        return round(kind.compressor_w * 1.3 * rng.uniform(0.98, 1.02), 1)
    running_w = kind.compressor_w * (1.0 + 0.35 * (1.0 - capacity)) if state.compressor_on else 0.0
    return round((running_w + 0.03 * kind.compressor_w) * rng.uniform(0.97, 1.03), 1)


def _thermostat(kind: Kind, state: State) -> bool:
    if state.air_c >= kind.setpoint_c + kind.band_c:
        return True
    if state.air_c <= kind.setpoint_c - kind.band_c:
        return False
    return state.compressor_on


def _door(kind: Kind, state: State, *, now_s: float, dt_s: float, rng: Random) -> float:
    """Give how much longer the door stays open; 0 is closed. Nobody holds one open for more than four mean times."""
    if state.door_left_s > 0:
        return max(0.0, state.door_left_s - dt_s)
    if rng.random() < kind.doors_per_h / 3_600 * activity(now_s) * dt_s:
        return min(rng.expovariate(1 / kind.door_open_s), 4 * kind.door_open_s)
    return 0.0


def _defrost(kind: Kind, state: State, dt_s: float) -> tuple[float, float]:
    if kind.defrost_every_s is None:
        return 0.0, math.inf
    if state.defrost_left_s > 0:
        return max(0.0, state.defrost_left_s - dt_s), state.next_defrost_s
    if state.next_defrost_s <= 0:
        return kind.defrost_s, kind.defrost_every_s
    return 0.0, state.next_defrost_s - dt_s


def _damp(state: State, *, door_open: bool, compressor_on: bool, dt_s: float) -> float:
    rise = 0.5 if door_open else 0.0
    decay_per_s = 1 / 300 if compressor_on else 1 / 1_200
    dryness = -6.0 if compressor_on else 0.0
    return min(25.0, state.damp + (rise + decay_per_s * (dryness - state.damp)) * dt_s)
