"""Numbers of messages: never twice, and every last one is named in beats until enough of them arrived."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensorcast.cluster.numbering import Numbering
from sensorcast.wire.bus import HEADS_MAX, Head


def test_numbers_begin_at_one_and_say_how_long_ago_the_last_one_was() -> None:
    numbering = Numbering()
    assert numbering.next("a", 10.0) == (1, None)
    assert numbering.next("a", 10.25) == (2, 250)
    assert numbering.next("b", 11.0) == (1, None)


def test_a_channel_is_named_once_it_is_quiet_and_until_three_beats_have_arrived() -> None:
    numbering = Numbering()
    numbering.next("a", 10.0)
    assert numbering.heads(1, 10.5) == []
    for beat in (2, 3, 4, 5):
        assert numbering.heads(beat, 10.0 + beat) == [Head("a", 1, beat * 1_000)]
        if beat != 3:  # this one was lost
            numbering.arrived(beat)
    assert numbering.heads(6, 16.0) == []


def test_a_channel_that_goes_on_is_named_anew() -> None:
    numbering = Numbering()
    numbering.next("a", 0.0)
    for beat in (1, 2, 3):
        numbering.heads(beat, 2.0)
        numbering.arrived(beat)
    numbering.next("a", 3.0)
    assert numbering.heads(4, 5.0) == [Head("a", 2, 2_000)]


def test_what_was_never_heard_back_stays_named_for_as_long_as_it_takes() -> None:
    numbering = Numbering()
    numbering.next("a", 0.0)
    for beat in range(1, 1_000):
        assert len(numbering.heads(beat, float(beat))) == 1
    numbering.arrived(1)  # so long ago that it is taken for lost
    for beat in (997, 998, 999):
        numbering.arrived(beat)
    assert numbering.heads(1_000, 1_000.0) == []


def test_a_beat_names_only_so_many_and_the_next_one_the_others() -> None:
    numbering = Numbering()
    for number in range(HEADS_MAX + 5):
        numbering.next(f"c{number}", 0.0)
    first, second = numbering.heads(1, 2.0), numbering.heads(2, 3.0)
    assert len(first) == len(second) == HEADS_MAX
    assert len({head.channel for head in first + second}) == HEADS_MAX + 5


def test_a_channel_that_was_forgotten_goes_on_above_all_numbers_as_one_that_may_have_lost_something() -> None:
    numbering = Numbering(channels_max=2)
    for _ in range(5):
        numbering.next("a", 0.0)
    numbering.next("b", 1.0)
    numbering.next("c", 2.0)
    assert numbering.next("a", 3.0) == (6, 0)
    assert len(numbering._channels) == 2


@given(st.lists(st.sampled_from("abcde"), max_size=200), st.integers(1, 6))
def test_no_number_is_given_twice_on_a_channel_whatever_is_forgotten(channels: list[str], channels_max: int) -> None:
    numbering = Numbering(channels_max=channels_max)
    given_out = [(channel, numbering.next(channel, float(at_s))[0]) for at_s, channel in enumerate(channels)]
    assert len(set(given_out)) == len(given_out)
    assert {channel: max(seq for name, seq in given_out if name == channel) for channel in channels} == {
        channel: [seq for name, seq in given_out if name == channel][-1] for channel in channels
    }
