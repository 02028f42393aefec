"""Our own beats: missed when they do not come back, each proof of one thing once."""

from __future__ import annotations

from sensorcast.cluster.echo import Echo


def test_beats_that_come_back_are_never_overdue() -> None:
    echo = Echo(silence_s=3.0, beat_s=1.0)
    for _ in range(10):
        assert echo.came_back(echo.send())
        assert not echo.is_overdue


def test_more_beats_under_way_than_the_silence_has_room_for_are_overdue_until_one_comes() -> None:
    echo = Echo(silence_s=2.5, beat_s=1.0)
    numbers = [echo.send() for _ in range(3)]
    assert not echo.is_overdue
    echo.send()
    assert echo.is_overdue
    assert echo.came_back(numbers[0])
    assert not echo.is_overdue


def test_what_was_sent_to_nobody_is_not_missed() -> None:
    echo = Echo(silence_s=1.0, beat_s=1.0)
    for _ in range(5):
        echo.send()
    echo.excuse()
    assert not echo.is_overdue


def test_a_beat_that_came_before_or_was_never_sent_proves_nothing() -> None:
    echo = Echo(silence_s=1.0, beat_s=1.0)
    first = echo.send()
    assert echo.came_back(first)
    assert not echo.came_back(first)
    assert not echo.came_back(first + 1)
