"""The hub: membership against a naive model, each frame once and in order, failures that stay alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.hub import NO_ROOMS, SLICE_COST_BYTES, Batch, Hub
from sensorcast.metrics import DELIVER_ERRORS
from sensorcast.wire.frame import Bundle, Frame


class Listener:
    """A subscriber that keeps what it was given."""

    def __init__(self, on_deliver: Callable[[], None] = lambda: None) -> None:
        self.rooms: frozenset[str] = NO_ROOMS
        self.bundles: list[Bundle] = []
        self.on_deliver = on_deliver

    def deliver(self, bundle: Bundle) -> None:
        self.bundles.append(bundle)
        self.on_deliver()

    @property
    def texts(self) -> list[bytes]:
        return [frame.text for bundle in self.bundles for frame in bundle.frames]


def listeners(hub: Hub, *rooms_of_each: str) -> list[Listener]:
    """Join one listener for each argument, which names its rooms with spaces between."""
    joined = []
    for rooms in rooms_of_each:
        listener = Listener()
        for room in rooms.split():
            hub.join(listener, room)
        joined.append(listener)
    return joined


def publish(hub: Hub, room: str, batches: list[Batch]) -> None:
    """Publish without a pause between the slices."""
    for _ in hub.publish_in_slices(room, batches):
        pass


def batch(text: bytes, *rooms: str) -> Batch:
    return Batch(rooms, Frame(text))


def test_the_organization_room_gets_one_bundle_of_everything_in_order() -> None:
    hub = Hub()
    a, b = listeners(hub, "org", "org")
    publish(hub, "org", [batch(b"1", "u1"), batch(b"2", "u2")])
    assert a.texts == b.texts == [b"1", b"2"]
    assert len(a.bundles) == 1
    assert a.bundles[0] is b.bundles[0]


def test_a_subscriber_in_all_three_rooms_gets_each_batch_once() -> None:
    hub = Hub()
    everything, narrow = listeners(hub, "org site u1", "site u1")
    publish(hub, "org", [batch(b"1", "site", "u1"), batch(b"2", "site", "u2")])
    assert everything.texts == narrow.texts == [b"1", b"2"]
    assert len(everything.bundles) == len(narrow.bundles) == 1


def test_a_unit_room_gets_its_own_batches_only() -> None:
    hub = Hub()
    (one,) = listeners(hub, "u2")
    publish(hub, "org", [batch(b"1", "u1"), batch(b"2", "u2"), batch(b"3", "u2")])
    assert one.texts == [b"2", b"3"]


def test_subscribers_with_equal_choices_share_one_bundle() -> None:
    hub = Hub()
    a, b, c = listeners(hub, "u1 u2", "u2 u1", "u1")
    publish(hub, "org", [batch(b"1", "u1"), batch(b"2", "u2")])
    assert a.bundles[0] is b.bundles[0]
    assert c.texts == [b"1"]


def test_two_organizations_never_mix_though_their_units_are_named_alike() -> None:
    hub = Hub()
    ours, theirs = listeners(hub, "org:a unit:a:u", "org:b unit:b:u")
    publish(hub, "org:a", [batch(b"ours", "unit:a:u")])
    assert ours.texts == [b"ours"]
    assert theirs.texts == []


def long(text: bytes, *rooms: str) -> Batch:
    """A batch of which a slice holds few."""
    return batch(text.ljust(SLICE_COST_BYTES // 3, b"."), *rooms)


def test_a_publish_to_many_pauses_between_slices_of_bounded_cost() -> None:
    hub = Hub()
    everybody = listeners(hub, *["org"] * 7)
    costs = list(hub.publish_in_slices("org", [long(b"1", "u1")]))
    assert len(costs) == 4
    assert max(costs) <= SLICE_COST_BYTES
    assert all(len(one.bundles) == 1 for one in everybody)


def test_a_batch_above_the_cost_of_a_slice_goes_to_one_subscriber_a_slice() -> None:
    hub = Hub()
    listeners(hub, "org", "org")
    assert len(list(hub.publish_in_slices("org", [batch(b"." * SLICE_COST_BYTES)]))) == 2


def test_who_leaves_between_two_slices_gets_nothing_more() -> None:
    hub = Hub()
    everybody = listeners(hub, *["org"] * 6)
    slices = hub.publish_in_slices("org", [long(b"1")])
    next(slices)
    served = [one for one in everybody if one.bundles]
    for one in everybody:
        hub.drop(one)
    assert len(served) == 2
    assert len(list(slices)) == 2
    assert [one for one in everybody if one.bundles] == served


def test_who_leaves_one_of_its_rooms_between_two_slices_still_gets_the_others() -> None:
    hub = Hub()
    first, second, third = listeners(hub, "u1 u2", "u1 u2", "org u2")
    slices = hub.publish_in_slices("org", [long(b"1", "u1"), long(b"2", "u2")])
    next(slices)
    for one, room in ((first, "u1"), (second, "u1"), (third, "org")):
        hub.leave(one, room)
    list(slices)
    assert [text[:1] for text in third.texts] == [b"1", b"2"]
    assert [text[:1] for text in first.texts] == [text[:1] for text in second.texts] == [b"2"]


def test_who_gets_a_batch_by_another_publish_gets_nothing_of_it_here_also_when_it_changes_between_slices() -> None:
    hub = Hub()
    everybody, faster = listeners(hub, *["s1"] * 6), listeners(hub, "s1 fast")
    slices = hub.publish_in_slices("org", [long(b"1", "s1")._replace(instead=frozenset({"fast"}))])
    next(slices)
    served = [one for one in everybody if one.bundles]
    for one in everybody:
        hub.join(one, "fast")
    assert (len(served), len(list(slices))) == (2, 2)
    assert [one for one in (*everybody, *faster) if one.bundles] == served


def test_who_joins_between_two_slices_gets_the_next_publish() -> None:
    hub = Hub()
    listeners(hub, *["org"] * 6)
    slices = hub.publish_in_slices("org", [long(b"1")])
    next(slices)
    (late,) = listeners(hub, "org")
    list(slices)
    assert late.bundles == []


def test_publish_to_nobody_is_harmless() -> None:
    publish(Hub(), "org", [batch(b"1", "u1")])


def test_emit_reaches_the_union_of_rooms_once_without_the_excepted() -> None:
    hub = Hub()
    both, first, excepted = listeners(hub, "a b", "a", "b c")
    hub.emit(["a", "b", "unknown"], Frame(b"x"), except_rooms=["c", "unknown"])
    assert (both.texts, first.texts, excepted.texts) == ([b"x"], [b"x"], [])


def test_a_subscriber_that_raises_is_counted_and_stops_nobody() -> None:
    def fail() -> None:
        raise RuntimeError("broken socket")

    hub = Hub()
    good = listeners(hub, "org", "org")
    hub.join(Listener(fail), "org")
    before = DELIVER_ERRORS._value.get()
    publish(hub, "org", [batch(b"1")])
    assert [one.texts for one in good] == [[b"1"], [b"1"]]
    assert DELIVER_ERRORS._value.get() == before + 1


def test_a_delivery_may_drop_any_subscriber_of_the_room() -> None:
    hub = Hub()
    others = listeners(hub, "org", "org", "org")
    cut = Listener(lambda: [hub.drop(one) for one in (cut, *others)] and None)
    hub.join(cut, "org")
    publish(hub, "org", [batch(b"1")])
    assert cut.texts == [b"1"]
    assert hub.members("org") == ()


def test_drop_forgets_the_subscriber_and_its_empty_rooms() -> None:
    hub = Hub()
    leaving, staying = listeners(hub, "a b", "b")
    hub.drop(leaving)
    hub.drop(leaving)
    assert leaving.rooms is NO_ROOMS
    assert (list(hub.members("a")), list(hub.members("b"))) == ([], [staying])


def test_subscribers_of_one_room_share_their_room_set() -> None:
    hub = Hub()
    a, b = listeners(hub, "org", "org")
    assert a.rooms is b.rooms


_steps = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "drop"]), st.integers(0, 3), st.sampled_from(["org", "s", "u1", "u2"])),
    max_size=40,
)


@given(_steps)
def test_membership_and_delivery_agree_with_a_naive_model(steps: list[tuple[str, int, str]]) -> None:
    hub = Hub()
    subscribers = [Listener() for _ in range(4)]
    model: list[set[str]] = [set() for _ in subscribers]
    for verb, who, room in steps:
        match verb:
            case "join":
                hub.join(subscribers[who], room)
                model[who].add(room)
            case "leave":
                hub.leave(subscribers[who], room)
                model[who].discard(room)
            case _:
                hub.drop(subscribers[who])
                model[who].clear()
    flush = [batch(b"1", "s", "u1"), batch(b"2", "u2"), batch(b"3", "s", "u1"), batch(b"4")]
    publish(hub, "org", flush)
    for subscriber, rooms in zip(subscribers, model, strict=True):
        assert subscriber.rooms == rooms
        assert subscriber.texts == [one.frame.text for one in flush if rooms & {"org", *one.rooms}]
        assert len(subscriber.bundles) <= 1
    for room in ("org", "s", "u1", "u2"):
        assert set(hub.members(room)) == {one for one, rooms in zip(subscribers, model, strict=True) if room in rooms}


@pytest.mark.parametrize("rooms", [(), ("unknown",)])
def test_emit_to_nobody_is_harmless(rooms: tuple[str, ...]) -> None:
    Hub().emit(rooms, Frame(b"x"))
