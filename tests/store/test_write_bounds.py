"""What may wait for a writer: bounded in readings and in bytes, one large request excepted."""

from __future__ import annotations

import pytest

from sensorcast.errors import Unavailable
from sensorcast.settings import Settings
from sensorcast.store.write_bounds import WriteBounds, memory_bytes
from tests.readings import reading


@pytest.mark.parametrize(
    ("readings", "size_bytes", "setting"), [(3, 1, "queue_max_readings"), (1, 1_000, "queue_max_bytes")]
)
def test_beyond_a_bound_work_is_refused(readings: int, size_bytes: int, setting: str) -> None:
    bounds = WriteBounds(Settings(queue_max_readings=10, queue_max_bytes=1_024))
    bounds.take(8, 100)
    with pytest.raises(Unavailable, match=setting) as caught:
        bounds.take(readings, size_bytes)
    assert caught.value.retry_after_s == 1
    bounds.free(8, 100)
    bounds.take(readings, size_bytes)


def test_one_request_larger_than_the_bounds_is_taken_when_nothing_waits() -> None:
    bounds = WriteBounds(Settings(queue_max_readings=10, queue_max_bytes=1_024))
    bounds.take(50, 9_999)
    with pytest.raises(Unavailable):
        bounds.take(1, 1)


def test_metrics_count() -> None:
    assert memory_bytes([reading(metrics={"a": 1.0, "b": 2.0})]) > memory_bytes([reading()])
