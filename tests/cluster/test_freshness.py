"""How old the first message of a node may be, and that an operator hears of one that is older."""

from __future__ import annotations

import pytest
import structlog

from sensorcast.cluster.freshness import Freshness

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(("age_s", "fresh"), [(0, True), (60, True), (-60, True), (60.1, False), (-60.1, False)])
def test_a_message_is_fresh_within_its_age_and_as_much_difference_of_clocks(age_s: float, fresh: bool) -> None:
    assert Freshness(60.0, lambda: NOW_S).holds(round((NOW_S - age_s) * 1e6)) is fresh


def test_a_warning_names_the_age_and_is_not_repeated_for_a_while() -> None:
    times_s = iter((NOW_S, NOW_S + 1, NOW_S + 59, NOW_S + 60))
    freshness = Freshness(60.0, lambda: next(times_s))
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            freshness.warn("x", round((NOW_S - 100) * 1e6))
    assert [line["age_s"] for line in logs] == [100.0, 160.0]
    assert {line["setting"] for line in logs} == {"bus_message_age_s"}
