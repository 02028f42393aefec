"""What a slow client is still owed: the newest batch of each unit, in order, for the price of references."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensorcast.metrics import BATCHES_CONFLATED
from sensorcast.transport.backlog import Backlog
from sensorcast.wire.frame import Frame
from tests.transport.fakes import batch


def offered(*frames: Frame) -> Backlog:
    """A backlog that was offered these frames."""
    backlog = Backlog(0.0)
    for frame in frames:
        assert backlog.offer(frame)
    return backlog


def test_the_newer_batch_of_a_unit_takes_the_place_of_the_older() -> None:
    old, new = batch("u1", 1), batch("u1", 2)
    backlog = offered(old, new)
    assert backlog.take(1_000).frames == (new,)
    assert backlog.lost


def test_a_late_older_batch_does_not_replace_a_newer_one() -> None:
    old, new = batch("u1", 1), batch("u1", 2)
    backlog = offered(new, old)
    assert backlog.take(1_000).frames == (new,)
    assert backlog.lost


def test_of_equal_rank_the_later_one_is_kept() -> None:
    first, second = batch("u1", 1), batch("u1", 1)
    assert offered(first, second).take(1_000).frames == (second,)


def test_units_leave_in_the_order_of_their_first_arrival() -> None:
    newest = batch("u1", 3)
    backlog = offered(batch("u1", 1), batch("u2", 1), batch("u3", 1), newest)
    frames = backlog.take(1_000).frames
    assert [frame.conflation.key for frame in frames if frame.conflation] == ["u1", "u2", "u3"]
    assert frames[0] is newest


def test_nothing_is_lost_while_every_unit_has_one_batch() -> None:
    backlog = offered(batch("u1", 1), batch("u2", 1))
    assert not backlog.lost
    assert len(backlog) == 2


def test_a_frame_that_may_not_be_replaced_is_not_kept() -> None:
    backlog = offered()
    assert not backlog.offer(Frame(b'42["alert"]'))
    assert len(backlog) == 0


def test_each_replaced_batch_is_counted() -> None:
    before = BATCHES_CONFLATED._value.get()
    offered(batch("u1", 1), batch("u1", 2), batch("u1", 3), batch("u2", 1))
    assert BATCHES_CONFLATED._value.get() == before + 2


def test_frames_are_taken_until_the_bytes_asked_for_are_reached() -> None:
    backlog = offered(*(batch(f"u{number}", 1, size=100) for number in range(5)))
    assert [len(backlog.take(max_bytes).frames) for max_bytes in (1, 200, 1_000_000)] == [1, 2, 2]
    assert not backlog


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40), st.integers(1, 200))
def test_what_is_taken_is_the_newest_of_each_unit_in_order_of_first_arrival(
    offers: list[tuple[int, int]], max_bytes: int
) -> None:
    backlog, newest = Backlog(0.0), dict[str, Frame]()
    for unit, rank in offers:
        frame = batch(f"u{unit}", rank)
        backlog.offer(frame)
        kept = newest.get(f"u{unit}")
        if kept is None or kept.conflation is None or kept.conflation.rank <= rank:
            newest[f"u{unit}"] = frame
    taken: list[Frame] = []
    while backlog:
        taken.extend(backlog.take(max_bytes).frames)
    assert taken == list(newest.values())
