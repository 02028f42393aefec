"""Waiting for something to become true, with a deadline, instead of sleeping for as long as it might take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02


def wait_until(probe: Callable[[], T | None], *, within_s: float, what: str) -> T:
    """Call `probe` until it gives something truthy, and give that; fail after `within_s`, saying `what` never came.

    It is called once more after the time is over: what came while this process was not run is not late.
    """
    deadline = time.monotonic() + within_s
    while True:
        is_over = time.monotonic() >= deadline
        if found := probe():
            return found
        assert not is_over, f"not within {within_s:g} s: {what}"
        time.sleep(POLL_S)
