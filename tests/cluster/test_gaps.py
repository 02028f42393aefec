"""Whether all has arrived: what each number says, and what beats say of messages that never came."""

from __future__ import annotations

from sensorcast.cluster.gaps import Gaps, Verdict
from sensorcast.wire.bus import Head, Readings

SENDER = ("x", 1)


def message(seq: int, since_ms: int | None = 250, origin: str = "x") -> Readings:
    return Readings(
        channel="a", origin=origin, epoch=1, seq=seq, since_ms=since_ms, organization_id="acme", readings=()
    )


def listening(since_s: float = 100.0) -> Gaps:
    gaps = Gaps()
    gaps.begin("a", since_s)
    return gaps


def test_one_number_after_the_other_misses_nothing() -> None:
    gaps = listening()
    assert [gaps.judge(message(seq, None if seq == 1 else 250), 101.0) for seq in (1, 2, 3)] == [Verdict.NEXT] * 3


def test_a_number_left_out_is_missed_and_its_late_arrival_is_not_taken() -> None:
    gaps = listening()
    verdicts = [gaps.judge(message(seq, None if seq == 1 else 250), 101.0) for seq in (1, 3, 2, 3, 4)]
    assert verdicts == [Verdict.NEXT, Verdict.MISSED, Verdict.REPLAYED, Verdict.REPLAYED, Verdict.NEXT]


def test_the_first_message_is_sure_when_the_one_before_was_sent_before_we_listened() -> None:
    assert listening(100.0).judge(message(7, 250), 100.2) is Verdict.NEXT
    assert listening(100.0).judge(message(7, 250), 100.3) is Verdict.UNSURE
    assert listening(100.0).judge(message(1, None), 200.0) is Verdict.NEXT
    assert listening(100.0).judge(message(7, 0), 100.0) is Verdict.UNSURE


def test_each_sender_has_its_own_numbers() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0)
    assert gaps.judge(message(1, None, origin="y"), 101.0) is Verdict.NEXT
    assert gaps.judge(message(2), 101.0) is Verdict.NEXT


def test_before_we_listen_numbers_mean_nothing() -> None:
    gaps = Gaps()
    assert [gaps.judge(message(seq), 1.0) for seq in (1, 9)] == [Verdict.NEXT] * 2
    assert not gaps.is_behind(SENDER, Head("a", 20, 1_000), 2.0)


def test_listening_anew_begins_anew() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0)
    gaps.begin("a", 110.0)
    assert gaps.judge(message(9, 30_000), 111.0) is Verdict.NEXT


def test_a_head_ahead_of_us_gets_one_beat_of_time() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0)
    assert not gaps.is_behind(SENDER, Head("a", 2, 1_000), 102.0)
    assert gaps.is_behind(SENDER, Head("a", 2, 2_000), 103.0)
    assert gaps.well_s("a", SENDER) == 101.0
    assert not gaps.is_behind(SENDER, Head("a", 2, 3_000), 104.0)
    assert gaps.judge(message(2), 104.5) is Verdict.REPLAYED


def test_what_comes_after_its_beat_is_no_loss() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0)
    assert not gaps.is_behind(SENDER, Head("a", 2, 1_000), 102.0)
    assert gaps.judge(message(2), 102.5) is Verdict.NEXT
    assert not gaps.is_behind(SENDER, Head("a", 2, 2_000), 103.0)


def test_a_head_of_a_sender_never_heard_counts_only_when_it_is_of_our_time() -> None:
    gaps = listening(100.0)
    assert not gaps.is_behind(SENDER, Head("a", 5, 3_000), 102.0)  # sent at 99
    assert gaps.judge(message(6), 102.5) is Verdict.NEXT
    gaps = listening(100.0)
    assert not gaps.is_behind(SENDER, Head("a", 5, 1_000), 102.0)  # sent at 101
    assert gaps.is_behind(SENDER, Head("a", 5, 2_000), 103.0)
    assert gaps.well_s("a", SENDER) == 100.0
    assert gaps.judge(message(6), 104.0) is Verdict.NEXT


def test_of_a_node_that_is_gone_and_a_channel_that_was_left_nothing_is_kept() -> None:
    gaps = listening()
    gaps.judge(message(1, None), 101.0)
    gaps.is_behind(("y", 1), Head("a", 5, 100), 102.0)
    gaps.forget(SENDER)
    gaps.forget(("y", 1))
    known = gaps._channels["a"]
    assert (known.heard, known.unheard) == ({}, {})
    gaps.end("a")
    assert gaps._channels == {}
    assert gaps.well_s("a", SENDER) is None
