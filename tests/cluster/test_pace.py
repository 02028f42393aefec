"""How long readings wait for messages, and for each other."""

from __future__ import annotations

import pytest

from sensorcast.cluster.pace import BEAT_S, forward_s, hold_back_s


@pytest.mark.parametrize("interval_s", [0.05, 0.2, 1.0, 10.0])
def test_what_waits_waits_longer_than_the_message_of_another_node_and_less_than_an_interval(interval_s: float) -> None:
    assert forward_s(interval_s) < hold_back_s(interval_s) < interval_s


def test_with_long_intervals_messages_leave_as_often_as_beats() -> None:
    assert forward_s(60.0) == BEAT_S
    assert forward_s(1.0) == 0.25
