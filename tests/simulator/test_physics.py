"""Claims about the physics: bounded, driven by doors and defrosts, and the same for the same randomness."""

import functools
import itertools
from random import Random

import pytest

from sensorcast.simulator import physics

_DAY_S = 86_400.0
_BOUNDS_C = {
    "medical-fridge": (2.0, 9.0),
    "retail-cooler": (1.0, 14.0),
    "freezer": (-23.0, -5.0),
    "walk-in": (0.0, 12.0),
    "ultra-low": (-84.0, -55.0),
    "server-room": (21.0, 26.0),
}


@functools.cache
def _day(kind: physics.Kind, *, capacity: float = 1.0, seed: int = 7) -> list[physics.State]:
    rng = Random(seed)
    states = [physics.at_rest(kind, rng)]
    for step in range(int(_DAY_S / 10)):
        states.append(physics.advance(kind, states[-1], now_s=step * 10.0, dt_s=10, capacity=capacity, rng=rng))
    return states


@pytest.mark.parametrize("kind", physics.KINDS, ids=lambda kind: kind.name)
def test_a_healthy_unit_stays_within_the_bounds_of_its_kind_all_day(kind: physics.Kind) -> None:
    low_c, high_c = _BOUNDS_C[kind.name]
    temperatures = [state.air_c for state in _day(kind)]
    assert low_c <= min(temperatures)
    assert max(temperatures) <= high_c


@pytest.mark.parametrize("kind", physics.KINDS, ids=lambda kind: kind.name)
def test_the_compressor_cycles_and_rests(kind: physics.Kind) -> None:
    running = [state.compressor_on for state in _day(kind)]
    switches = sum(before != after for before, after in itertools.pairwise(running))
    assert 0.2 < sum(running) / len(running) < 0.7
    assert 60 < switches < 700


def test_an_open_door_raises_temperature_and_humidity() -> None:
    kind = physics.RETAIL_COOLER
    closed = physics.State(air_c=3.0, contents_c=3.0, compressor_on=False)
    opened = physics.State(air_c=3.0, contents_c=3.0, compressor_on=False, door_left_s=60.0)

    def after(state: physics.State) -> physics.State:
        return physics.advance(kind, state, now_s=0.0, dt_s=10.0, capacity=1.0, rng=Random(1))

    assert after(opened).air_c > after(closed).air_c + 0.5
    assert after(opened).damp > after(closed).damp


def test_a_freezer_warms_while_it_defrosts_and_its_compressor_waits() -> None:
    states = _day(physics.FREEZER)
    defrosting = [state for state in states if state.defrost_left_s > 0]
    assert max(state.air_c for state in defrosting) > -14.0
    assert not any(state.compressor_on for state in defrosting)
    assert max(state.air_c for state in states[-60:]) < -15.0 or states[-1].defrost_left_s > 0


def test_a_unit_without_cooling_drifts_to_the_temperature_of_the_room() -> None:
    assert _day(physics.MEDICAL_FRIDGE, capacity=0.0)[-1].air_c > 15.0


def test_the_same_randomness_gives_the_same_day() -> None:
    assert _day(physics.FREEZER, seed=3) == _day(physics.FREEZER, seed=3)
    assert _day(physics.FREEZER, seed=3) != _day(physics.FREEZER, seed=4)


def test_run_covers_exactly_the_time_between_two_moments() -> None:
    kind, start = physics.WALK_IN, physics.State(air_c=2.0, contents_c=2.0, compressor_on=False)
    whole = physics.run(kind, start, from_s=0.0, to_s=25.0, capacity=1.0, rng=Random(5))
    rng, state = Random(5), start
    for at_s, dt_s in ((0.0, 10.0), (10.0, 10.0), (20.0, 5.0)):
        state = physics.advance(kind, state, now_s=at_s, dt_s=dt_s, capacity=1.0, rng=rng)
    assert whole == state


def test_the_sensor_reports_in_steps_of_its_resolution() -> None:
    state = physics.State(air_c=4.321, contents_c=4.0, compressor_on=True)
    values = [physics.temperature(physics.RETAIL_COOLER, state, Random(seed)) for seed in range(50)]
    assert all(value == round(value, 1) for value in values)


def test_people_are_busier_at_noon_than_at_night() -> None:
    assert physics.activity(12 * 3_600) > 0.9
    assert physics.activity(2 * 3_600) == pytest.approx(0.2)


def test_a_kind_without_a_humidity_sensor_reports_none() -> None:
    state = physics.State(air_c=-80.0, contents_c=-80.0, compressor_on=True)
    assert physics.humidity(physics.ULTRA_LOW, state, Random(1)) is None
