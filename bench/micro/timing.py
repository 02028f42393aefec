"""The one way the micro benchmarks take time: processor time of the best of several rounds, per event."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def best_ns(prepare: Callable[[], T], step: Callable[[T], object], *, per: int, rounds: int = 15) -> float:
    """Run `step(prepare())` `rounds` times; give nanoseconds of `step` per event, `per` of which it handles.

    The shortest round counts: it is the one least disturbed by what else the machine does.
    """
    best = min(_once(prepare, step) for _ in range(rounds))
    return best / per


def _once(prepare: Callable[[], T], step: Callable[[T], object]) -> int:
    prepared = prepare()
    gc.collect()
    started = time.process_time_ns()
    step(prepared)
    return time.process_time_ns() - started
