"""Token buckets keep the rate and forget callers within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.rate import TokenBucket, TokenBuckets


def test_a_full_bucket_gives_its_burst_at_once_and_then_the_wait() -> None:
    bucket = TokenBucket(2.0, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_it_refills_at_its_rate_up_to_the_burst() -> None:
    bucket = TokenBucket(2.0, 3, 100.0)
    for _ in range(3):
        bucket.take(100.0)
    assert bucket.take(100.5) == 0.0
    assert bucket.take(100.5) == pytest.approx(0.5)
    assert [bucket.take(1_000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_refused_take_costs_nothing() -> None:
    bucket = TokenBucket(1.0, 1, 0.0)
    bucket.take(0.0)
    for _ in range(100):
        assert bucket.take(0.5) == pytest.approx(0.5)
    assert bucket.take(1.0) == 0.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(1.0, 1, 100.0)
    bucket.take(100.0)
    assert bucket.take(50.0) == pytest.approx(1.0)
    assert bucket.take(50.5) == pytest.approx(0.5)


@given(st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 2), max_size=60))
def test_never_more_than_burst_and_rate_allow(rate_per_s: float, burst: int, gaps_s: list[float]) -> None:
    bucket, now_s, taken = TokenBucket(rate_per_s, burst, 0.0), 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        while bucket.take(now_s) == 0.0:
            taken += 1
        assert taken <= burst + rate_per_s * now_s + 1e-6


def test_callers_do_not_share_a_bucket() -> None:
    buckets = TokenBuckets(1.0, 1)
    assert [buckets.take("a", 0.0), buckets.take("b", 0.0), buckets.take("a", 0.0)] == [0.0, 0.0, 1.0]


def test_the_longest_silent_caller_is_forgotten_first() -> None:
    buckets = TokenBuckets(1.0, 1, buckets_max=2)
    for caller in ("a", "b", "a", "c"):
        buckets.take(caller, 0.0)
    assert len(buckets) == 2
    assert buckets.take("a", 0.0) > 0
    assert buckets.take("b", 0.0) == 0.0
