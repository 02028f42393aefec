"""Claims about the fleet: deterministic, well named, in order, with one unit failing and one device flaky."""

import itertools
import statistics
from datetime import datetime

from sensorcast.model import is_valid_id
from sensorcast.simulator import fleet

_START_S = 1_760_000_000.0


def _measured(
    *, size: int = 24, seed: int = 1, hours: float = 2.0, interval_s: float = 60.0
) -> list[fleet.Measurement]:
    built = fleet.build(
        size, seed=seed, start_s=_START_S, interval_s=interval_s, failing_since_s=_START_S + 3_600 * hours / 4
    )
    return list(built.measure(_START_S + 3_600 * hours, interval_s))


def _seconds(measured: fleet.Measurement) -> float:
    return datetime.fromisoformat(measured.recorded_at).timestamp()


def test_the_same_seed_measures_the_same_values() -> None:
    assert _measured(seed=5, hours=0.5) == _measured(seed=5, hours=0.5)
    assert _measured(seed=5, hours=0.5) != _measured(seed=6, hours=0.5)


def test_asking_often_gives_the_same_as_asking_once() -> None:
    def build() -> fleet.Fleet:
        return fleet.build(8, seed=2, start_s=_START_S, interval_s=5.0, failing_since_s=_START_S)

    often, once = build(), build()
    pieces = [measured for step in range(1, 61) for measured in often.measure(_START_S + step, 5.0)]
    assert pieces == list(once.measure(_START_S + 60, 5.0))


def test_unit_names_are_unique_valid_ids_with_a_site() -> None:
    names = [fleet.unit_id(index, 1_000) for index in range(1_000)]
    assert len(set(names)) == 1_000
    assert all(is_valid_id(name) and name.split(".")[0] in fleet.SITES for name in names)
    assert fleet.unit_id(0, 24) == "harbour.kitchen-fridge-01"


def test_every_unit_is_measured_each_interval() -> None:
    measured = [item for item in _measured(hours=1.0) if item.unit_id == fleet.unit_id(0, 24)]
    times = [_seconds(item) for item in measured]
    assert {round(after - before) for before, after in itertools.pairwise(times)} == {60}


def test_a_change_of_interval_takes_effect_at_once() -> None:
    built = fleet.build(4, seed=2, start_s=_START_S, interval_s=600.0, failing_since_s=_START_S)
    list(built.measure(_START_S + 3_600, 600.0))
    assert len(list(built.measure(_START_S + 3_610, 2.0))) >= 4 * 4


def test_the_failing_unit_drifts_out_of_its_range() -> None:
    failing = [item.temperature for item in _measured(hours=12.0) if item.unit_id == fleet.unit_id(4, 24)]
    assert statistics.mean(failing[-30:]) > statistics.mean(failing[:30]) + 3.0


def test_the_flaky_device_sends_late_but_in_order_and_has_gaps() -> None:
    times = [_seconds(item) for item in _measured(hours=3.0, interval_s=5.0) if item.unit_id == fleet.unit_id(13, 24)]
    assert times == sorted(times)
    assert max(after - before for before, after in itertools.pairwise(times)) > 30


def test_held_readings_arrive_together_once_the_link_is_up_again() -> None:
    built = fleet.build(24, seed=1, start_s=_START_S, interval_s=1.0, failing_since_s=_START_S)
    flaky = fleet.unit_id(13, 24)
    bursts = [
        sum(item.unit_id == flaky for item in built.measure(_START_S + second, 1.0)) for second in range(1, 1_200)
    ]
    assert max(bursts) > 30


def test_batteries_drain_slowly_and_one_is_nearly_empty() -> None:
    levels = [item.battery for item in _measured(hours=1.0) if item.battery is not None]
    assert min(levels) < 10
    assert all(0 <= level <= 100 for level in levels)


def test_signal_fades_but_stays_plausible() -> None:
    levels = [item.signal_strength for item in _measured(hours=1.0) if item.unit_id == fleet.unit_id(0, 24)]
    assert len(set(levels)) > 5
    assert all(level is not None and -119 <= level <= -30 for level in levels)
