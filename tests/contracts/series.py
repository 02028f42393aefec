"""The contract of `SeriesStore`, run on every implementation: buckets, samples, organizations apart, any name.

A twin of an implementation subclasses it and gives the fixture `open_store`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sensorcast.model import Reading
from sensorcast.store import Store
from tests.contracts.store import OpenStore

_SECOND_US = 1_000_000


def _reading(
    at_s: float,
    temperature: float | None = None,
    *,
    unit_id: str = "fridge",
    organization_id: str = "acme",
    metrics: Mapping[str, float] | None = None,
) -> Reading:
    at_us = int(at_s * _SECOND_US)
    return Reading(
        organization_id=organization_id,
        unit_id=unit_id,
        recorded_at_us=at_us,
        received_at_us=at_us,
        temperature=temperature,
        metrics=metrics,
    )


async def _series(store: Store, *measures: str, end_s: float = 60, unit_id: str = "fridge") -> list[tuple]:
    buckets = await store.series(
        "acme", unit_id, measures=measures, start_us=0, end_us=int(end_s * _SECOND_US), bucket_us=10 * _SECOND_US
    )
    return [
        (
            bucket.start_us // _SECOND_US,
            bucket.count,
            {name: (spread.low, spread.mean, spread.high) for name, spread in bucket.spreads.items()},
        )
        for bucket in buckets
    ]


async def _samples(store: Store, *unit_ids: str, measure: str = "temperature") -> dict[str, list[float | None]]:
    return await store.samples(
        "acme", unit_ids, measure=measure, start_us=0, end_us=40 * _SECOND_US, bucket_us=10 * _SECOND_US
    )


ODD_NAMES = ["powerW", "a.b", "$", "$.a", "[0]", '"', "'", "\\", "ä", "#", "%", "%00", "__proto__", "' OR 1"]


class SeriesStoreContract:
    @pytest.fixture
    async def store(self, open_store: OpenStore) -> Store:
        return await open_store()

    async def test_a_bucket_holds_the_lowest_mean_and_highest_of_its_readings(self, store: Store) -> None:
        await store.append([_reading(0, 1.0), _reading(4, 4.0), _reading(9.999999, 7.0), _reading(10, 20.0)])
        assert await _series(store, "temperature") == [
            (0, 3, {"temperature": (1.0, 4.0, 7.0)}),
            (10, 1, {"temperature": (20.0, 20.0, 20.0)}),
        ]

    async def test_the_time_of_a_bucket_is_the_mean_time_of_its_readings(self, store: Store) -> None:
        await store.append([_reading(12, 1.0), _reading(16, 1.0)])
        [bucket] = await store.series(
            "acme", "fridge", measures=["temperature"], start_us=0, end_us=60 * _SECOND_US, bucket_us=10 * _SECOND_US
        )
        assert bucket.time_us == 14 * _SECOND_US

    async def test_stretches_without_readings_have_no_bucket(self, store: Store) -> None:
        await store.append([_reading(1, 1.0), _reading(55, 2.0)])
        assert [start_s for start_s, _, _ in await _series(store, "temperature")] == [0, 50]

    async def test_the_end_is_not_part_of_the_span_even_within_a_bucket(self, store: Store) -> None:
        await store.append([_reading(20, 1.0), _reading(24, 2.0), _reading(25, 99.0)])
        assert await _series(store, "temperature", end_s=25) == [(20, 2, {"temperature": (1.0, 1.5, 2.0)})]

    async def test_a_measure_without_values_is_not_in_the_bucket(self, store: Store) -> None:
        await store.append([_reading(1, 1.0)])
        assert await _series(store, "temperature", "humidity", "metrics.none") == [
            (0, 1, {"temperature": (1.0, 1.0, 1.0)})
        ]

    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_any_metric_name_finds_its_values(self, store: Store, name: str) -> None:
        await store.append([_reading(1, metrics={name: 2.5, "other": 9.0}), _reading(2, metrics={name: 3.5})])
        assert await _series(store, f"metrics.{name}") == [(0, 2, {f"metrics.{name}": (2.5, 3.0, 3.5)})]
        assert (await _samples(store, "fridge", measure=f"metrics.{name}"))["fridge"][0] == 2.5

    async def test_samples_take_the_first_value_of_each_bucket(self, store: Store) -> None:
        await store.append([_reading(1), _reading(2, 5.0), _reading(3, 6.0), _reading(25, 7.0)])
        await store.append([_reading(11, 1.0, unit_id="freezer")])
        assert await _samples(store, "fridge", "freezer") == {
            "fridge": [5.0, None, 7.0, None],
            "freezer": [None, 1.0, None, None],
        }

    async def test_units_of_others_and_unknown_ones_are_not_there(self, store: Store) -> None:
        await store.append([_reading(1, 5.0, organization_id="globex", unit_id="theirs"), _reading(1, 6.0)])
        assert await _samples(store, "theirs", "nobodys", "fridge") == {"fridge": [6.0, None, None, None]}
        assert await _series(store, "temperature", unit_id="theirs") == []
        assert await _series(store, "temperature", unit_id="nobodys") == []

    async def test_the_mean_of_values_whose_sum_is_beyond_a_double_is_not_an_error(self, store: Store) -> None:
        await store.append([_reading(at_s, metrics={"huge": 1.5e308}) for at_s in (1, 2)])
        [(_, count, _)] = await _series(store, "metrics.huge")
        assert count == 2
