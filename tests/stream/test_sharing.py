"""What several nodes take in waits a little, and nothing else does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.metrics import HELD_READINGS, SHARED_EVICTED
from sensorcast.stream import SensorStream
from sensorcast.stream.sharing import MARKS_PER_HOLD_BACK, SHARED_S, SharedUnits
from tests.stream.readings import T0_US, reading

HOLD_BACK_S = 0.4


class Node:
    """A stream whose time is set by hand."""

    def __init__(self, **options: Any) -> None:
        self.now_s = 1_000.0
        self.stream = SensorStream(hold_back_s=HOLD_BACK_S, now_s=lambda: self.now_s, **options)

    def take(self, at_us: int, source: str | None = None, unit_id: str = "u1") -> None:
        """Take a reading in, or hear it from `source`."""
        self.stream.add_reading("a", reading(unit_id, at_us), source)

    def drain(self, after_s: float = 0.0, **options: Any) -> list[int]:
        """Moments of the readings that leave, late ones negative."""
        self.now_s += after_s
        units = [each for organization in self.stream.drain(**options).values() for each in organization.units.values()]
        moments = [(each.recorded_at_us - T0_US) * (-1 if each.late else 1) for unit in units for each in unit]
        return sorted(moments)


@pytest.fixture
def node() -> Node:
    """One whose unit `u1` came in here at 1, and at node `two` at 2."""
    node = Node()
    node.take(1)
    node.take(2, "two")
    assert node.drain(1) == [1, 2]
    return node


def test_what_is_newest_of_a_shared_unit_waits_for_what_another_node_is_about_to_forward(node: Node) -> None:
    held = HELD_READINGS._value.get()
    node.take(5)
    assert node.drain() == []
    assert HELD_READINGS._value.get() == held + 1
    node.take(4, "two")
    assert node.drain(1) == [4, 5]


def test_what_came_in_before_leaves_and_with_a_new_one_stays_all_that_is_newer(node: Node) -> None:
    for at_us in (4, 6, 8):
        node.take(at_us)
    node.now_s += 0.6
    node.take(7, "two")
    assert node.drain() == [4, 6]
    assert node.drain(1) == [7, 8]


def test_a_reading_stays_at_one_drain_at_most_whatever_comes_in(node: Node) -> None:
    node.take(9)
    assert node.drain() == []
    for at_us in (5, 12):
        node.take(at_us, "two")
    assert node.drain() == [5, 9]
    node.take(11)
    assert node.drain() == [11, 12]


def test_what_is_older_than_what_left_is_late_and_lets_nothing_wait(node: Node) -> None:
    node.take(5)
    assert node.drain(1) == [5]
    node.take(6)
    node.now_s += 0.5
    node.take(3, "two")
    assert node.drain() == [-3, 6]


def test_what_waits_is_the_latest_at_once_and_is_counted_as_buffered(node: Node) -> None:
    node.take(5)
    node.drain()
    latest = node.stream.get_latest_reading("a", "u1")
    assert latest is not None
    assert latest.recorded_at_us == T0_US + 5
    assert node.stream.stats("a").buffered_readings == 1


def test_the_last_drain_leaves_nothing_behind(node: Node) -> None:
    node.take(5)
    assert node.drain(last=True) == [5]
    assert node.drain() == []


def test_an_organization_that_stays_as_a_whole_loses_no_time_by_it(node: Node) -> None:
    node.take(5)
    assert node.drain(keep={"a"}) == []
    assert node.drain(1) == [5]


def test_a_unit_that_only_this_node_takes_in_does_not_wait() -> None:
    node = Node()
    node.take(1, "two", unit_id="other")
    node.drain(1)
    for at_us in (2, 3):
        node.take(at_us)
        assert node.drain() == [at_us]


def test_a_unit_that_only_one_other_node_takes_in_does_not_wait() -> None:
    node = Node()
    for at_us in (2, 3):
        node.take(at_us, "two")
        assert node.drain() == [at_us]


def test_a_unit_that_two_other_nodes_take_in_waits() -> None:
    node = Node()
    node.take(1, "two")
    node.take(2, "three")
    assert node.drain() == [1]
    assert node.drain(1) == [2]


@pytest.mark.parametrize("source", [None, "two"])
def test_a_unit_that_comes_in_at_one_node_only_for_a_minute_does_not_wait_any_more(
    node: Node, source: str | None
) -> None:
    node.take(3, source)
    assert node.drain(1) == [3]
    node.now_s += SHARED_S
    for at_us in (4, 5):
        node.take(at_us, source)
        assert node.drain() == [at_us]
    if source is None:
        assert not node.stream._shared.units


def test_the_units_of_others_are_bounded_and_the_one_longest_not_heard_leaves() -> None:
    shared, evicted = SharedUnits(HOLD_BACK_S, 2, lambda: 0.0), SHARED_EVICTED._value.get()
    for unit_id in ("u1", "u2", "u1", "u3"):
        shared.note(reading(unit_id), "two", is_known=True, is_late=False)
    assert [unit_id for _, unit_id in shared.units] == ["u1", "u3"]
    assert set(shared._waiting) == {("a", "u1"), ("a", "u3")}
    assert SHARED_EVICTED._value.get() == evicted + 1


def test_a_flood_of_one_shared_unit_is_remembered_in_few_marks(node: Node) -> None:
    for number in range(10_000):
        node.now_s += 0.000_1
        node.take(10 + number)
    [unit] = node.stream._shared.units.values()
    assert len(unit.marks) <= MARKS_PER_HOLD_BACK + 2
    assert 5_000 <= len(node.drain()) <= 6_100  # of one second, all but the last 0.4
    assert node.drain(1)[-1] == 10_009


sources = st.sampled_from([None, None, "two", "three"])
steps = st.lists(st.tuples(st.sampled_from(["u1", "u2"]), st.integers(0, 60), sources, st.floats(0, 0.5)), max_size=60)


@given(steps, st.sets(st.integers(0, 60)))
def test_whatever_comes_in_when_it_leaves_once_in_order_or_called_late_after_one_more_drain_at_most(
    steps: list[tuple[str, int, str | None, float]], drain_before: set[int]
) -> None:
    node, added, left = Node(), list[str](), list[str]()
    at_drain: dict[str, int] = {}
    newest: dict[str, int] = {}
    drains = 0

    def drain() -> None:
        nonlocal drains
        drains += 1
        for organization in node.stream.drain().values():
            for unit_id, readings in organization.units.items():
                before = newest.get(unit_id, 0)
                assert [each.late for each in readings] == [each.recorded_at_us < before for each in readings]
                newest[unit_id] = max(before, *(each.recorded_at_us for each in readings))
                left.extend(each.id for each in readings)
                assert all(drains - at_drain[each.id] <= 2 for each in readings)

    for index, (unit_id, at_us, source, pause_s) in enumerate(steps):
        if index in drain_before:
            drain()
        node.now_s += pause_s
        each = reading(unit_id, at_us, given_id=str(index))
        node.stream.add_reading("a", each, source)
        added.append(each.id)
        at_drain[each.id] = drains
    drain()
    drain()
    assert Counter(left) == Counter(added)
