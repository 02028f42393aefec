"""Tests whose verdict depends on the clock, and a machine that now and then runs nothing of theirs for a while.

A heartbeat of 200 ms, or a promise to be done within a tenth of a second, cannot be judged while the machine stands
still. So a test marked `real_time` that fails is run again when, and only when, this process was not run for a while
meanwhile; a failure on a machine that kept running is one at once. What was run again is told at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

REPETITIONS: Final = 3
STALL_S: Final = 0.1
"""No heartbeat and no promise in a test is shorter."""
_LOOK_S: Final = 0.01

repeated: Final[list[str]] = []
"""A line for each test that was run again."""


class Stalls:
    """The longest time for which a thread that asked to be run was not."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._ended = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[Stalls]:
        """Look out for stalls within the context."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        ended = False
        while not ended:
            started_s = time.monotonic()
            ended = self._ended.wait(_LOOK_S)
            self.longest_s = max(self.longest_s, time.monotonic() - started_s - _LOOK_S)


def run_real_time(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test, again while it fails and the machine stood still meanwhile; give the reports of the last run."""
    reports, stalls = _run(item, nextitem)
    for _ in range(REPETITIONS):
        if stalls.longest_s < STALL_S or not any(report.failed for report in reports):
            break
        repeated.append(f"{item.nodeid}: the machine stood still for {stalls.longest_s:.2f} s")
        reports, stalls = _run(item, nextitem)
    return reports


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> tuple[list[pytest.TestReport], Stalls]:
    with Stalls().watched() as stalls:
        return runtestprotocol(item, log=False, nextitem=nextitem), stalls
