"""Whether all has arrived: what each number says, and what beats say of messages that never came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sensorcast.cluster import gaps as gaps_module
from sensorcast.cluster.gaps import Gaps, Verdict
from sensorcast.wire.bus import Head, Readings

SENDER = ("x", 1)
REMEMBERED_S = 120.0


def message(seq: int, since_ms: int | None = 250, origin: str = "x") -> Readings:
    return Readings(
        channel="a", origin=origin, epoch=1, seq=seq, since_ms=since_ms, sent_us=1, organization_id="acme", readings=()
    )


def listening(since_s: float = 100.0) -> Gaps:
    gaps = Gaps(REMEMBERED_S)
    gaps.begin("a", since_s)
    return gaps


def test_one_number_after_the_other_misses_nothing() -> None:
    gaps = listening()
    assert [gaps.judge(message(seq, None if seq == 1 else 250), 101.0, is_fresh=True) for seq in (1, 2, 3)] == [
        Verdict.NEXT
    ] * 3


def test_a_number_left_out_is_missed_and_its_late_arrival_is_not_taken() -> None:
    gaps = listening()
    verdicts = [gaps.judge(message(seq, None if seq == 1 else 250), 101.0, is_fresh=True) for seq in (1, 3, 2, 3, 4)]
    assert verdicts == [Verdict.NEXT, Verdict.MISSED, Verdict.REPLAYED, Verdict.REPLAYED, Verdict.NEXT]


def test_the_first_message_is_sure_when_the_one_before_was_sent_before_we_listened() -> None:
    assert listening(100.0).judge(message(7, 250), 100.2, is_fresh=True) is Verdict.NEXT
    assert listening(100.0).judge(message(7, 250), 100.3, is_fresh=True) is Verdict.UNSURE
    assert listening(100.0).judge(message(1, None), 200.0, is_fresh=True) is Verdict.NEXT
    assert listening(100.0).judge(message(7, 0), 100.0, is_fresh=True) is Verdict.UNSURE


def test_each_sender_has_its_own_numbers() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0, is_fresh=True)
    assert gaps.judge(message(1, None, origin="y"), 101.0, is_fresh=True) is Verdict.NEXT
    assert gaps.judge(message(2), 101.0, is_fresh=True) is Verdict.NEXT


def test_before_we_listen_numbers_mean_nothing() -> None:
    gaps = Gaps(REMEMBERED_S)
    assert [gaps.judge(message(seq), 1.0, is_fresh=True) for seq in (1, 9)] == [Verdict.NEXT] * 2
    assert not gaps.is_behind(SENDER, Head("a", 20, 1_000), 2.0)


def test_listening_anew_begins_anew() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0, is_fresh=True)
    gaps.begin("a", 110.0)
    assert gaps.judge(message(9, 30_000), 111.0, is_fresh=True) is Verdict.NEXT


def test_a_head_ahead_of_us_gets_one_beat_of_time() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0, is_fresh=True)
    assert not gaps.is_behind(SENDER, Head("a", 2, 1_000), 102.0)
    assert gaps.is_behind(SENDER, Head("a", 2, 2_000), 103.0)
    assert gaps.well_s("a", SENDER) == 101.0
    assert not gaps.is_behind(SENDER, Head("a", 2, 3_000), 104.0)
    assert gaps.judge(message(2), 104.5, is_fresh=True) is Verdict.REPLAYED


def test_what_comes_after_its_beat_is_no_loss() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0, is_fresh=True)
    assert not gaps.is_behind(SENDER, Head("a", 2, 1_000), 102.0)
    assert gaps.judge(message(2), 102.5, is_fresh=True) is Verdict.NEXT
    assert not gaps.is_behind(SENDER, Head("a", 2, 2_000), 103.0)


def test_a_head_of_a_sender_never_heard_counts_only_when_it_is_of_our_time() -> None:
    gaps = listening(100.0)
    assert not gaps.is_behind(SENDER, Head("a", 5, 3_000), 102.0)  # sent at 99
    assert gaps.judge(message(6), 102.5, is_fresh=True) is Verdict.NEXT
    gaps = listening(100.0)
    assert not gaps.is_behind(SENDER, Head("a", 5, 1_000), 102.0)  # sent at 101
    assert gaps.is_behind(SENDER, Head("a", 5, 2_000), 103.0)
    assert gaps.well_s("a", SENDER) == 100.0
    assert gaps.judge(message(6), 104.0, is_fresh=True) is Verdict.NEXT


def test_of_a_node_that_is_gone_and_a_channel_that_was_left_nothing_is_kept() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0, is_fresh=True)
    gaps.is_behind(("y", 1), Head("a", 5, 100), 102.0)
    gaps.forget(SENDER, 103.0)
    gaps.forget(("y", 1), 103.0)
    known = gaps._channels["a"]
    assert (known.heard, known.unheard) == ({}, {})
    gaps.end("a", 104.0)
    assert gaps._channels == {}
    assert gaps.well_s("a", SENDER) is None
    gaps.expire(103.0 + REMEMBERED_S)
    assert gaps._past == {}


def test_the_first_of_a_sender_has_to_be_fresh_and_the_others_only_to_be_next() -> None:
    gaps = listening()
    assert gaps.judge(message(3), 101.0, is_fresh=False) is Verdict.STALE
    assert gaps.judge(message(4), 101.0, is_fresh=True) is Verdict.UNSURE
    assert gaps.judge(message(5), 400.0, is_fresh=False) is Verdict.NEXT
    assert Gaps(REMEMBERED_S).judge(message(1), 1.0, is_fresh=False) is Verdict.STALE


@pytest.mark.parametrize(
    "end",
    [
        lambda gaps: gaps.forget(SENDER, 110.0),
        lambda gaps: gaps.begin("a", 110.0),
        lambda gaps: (gaps.end("a", 110.0), gaps.begin("a", 115.0)),
        lambda gaps: (gaps.forget(SENDER, 105.0), gaps.begin("a", 110.0)),
    ],
    ids=["node gone", "deaf", "left", "gone and deaf"],
)
def test_what_was_heard_once_is_not_taken_again_while_it_may_pass_for_fresh(end: Callable[[Gaps], object]) -> None:
    gaps = listening()
    for seq in (1, 2, 3):
        gaps.judge(message(seq, None if seq == 1 else 250), 101.0, is_fresh=True)
    end(gaps)
    gaps.expire(200.0)
    replayed = [gaps.judge(message(seq), 200.0, is_fresh=True) for seq in (1, 2, 3)]
    assert replayed == [Verdict.REPLAYED] * 3
    assert gaps.judge(message(4, 60_000_000), 200.0, is_fresh=True) is Verdict.NEXT


def test_numbers_of_the_past_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps_module, "PAST_MAX", 2)
    gaps = listening()
    for origin in "xyz":
        gaps.judge(message(1, None, origin), 101.0, is_fresh=True)
        gaps.forget((origin, 1), 102.0)
    assert gaps.judge(message(1, None, "z"), 103.0, is_fresh=True) is Verdict.REPLAYED
    assert gaps.judge(message(1, None, "x"), 103.0, is_fresh=True) is Verdict.NEXT
