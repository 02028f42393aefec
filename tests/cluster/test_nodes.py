"""The list of nodes: in it from the first beat on, out of it after some silence, never too long."""

from __future__ import annotations

from sensorcast.cluster import nodes
from sensorcast.cluster.nodes import Gone, Node, Nodes, Refusal
from sensorcast.wire.bus import Beat

OWN = Node(name="own", origin="o", since_us=1, is_self=True)
REMEMBERED_S = 120.0


def beat(origin: str, number: int = 1, name: str = "other", *, leaves: bool = False) -> Beat:
    return Beat(channel="beats", origin=origin, epoch=7, number=number, sent_us=1, name=name, leaves=leaves)


def heard(known: Nodes, said: Beat, now_s: float) -> Refusal | None:
    return known.beat(said, now_s, is_fresh=True)


def test_alone_there_is_one() -> None:
    assert Nodes(OWN, REMEMBERED_S).all() == [OWN]


def test_nodes_are_listed_by_name() -> None:
    known = Nodes(OWN, REMEMBERED_S)
    heard(known, beat("a", name="zeta"), 0.0)
    heard(known, beat("b", name="alpha"), 0.0)
    assert [each.name for each in known.all()] == ["alpha", "own", "zeta"]
    assert known.all()[0] == Node(name="alpha", origin="b", since_us=7)
    assert len(known) == 3


def test_who_beats_stays_and_who_is_silent_goes() -> None:
    known = Nodes(OWN, REMEMBERED_S)
    heard(known, beat("a"), 0.0)
    heard(known, beat("b"), 0.0)
    heard(known, beat("a", 2), 4.0)
    assert known.expire(5.0) == []
    assert known.expire(5.1) == [Gone(("b", 7), 0.0, has_left=False)]
    assert [each.origin for each in known.all()] == ["a", "o"]


def test_who_said_that_it_leaves_is_known_to_have_left() -> None:
    known = Nodes(OWN, REMEMBERED_S)
    heard(known, beat("a"), 0.0)
    heard(known, beat("a", 2, leaves=True), 1.0)
    assert known.expire(7.0) == [Gone(("a", 7), 1.0, has_left=True)]


def test_who_could_not_be_heard_is_excused() -> None:
    known = Nodes(OWN, REMEMBERED_S)
    heard(known, beat("a"), 0.0)
    known.excuse(60.0)
    assert known.expire(64.0) == []
    assert known.expire(65.1) == [Gone(("a", 7), 60.0, has_left=False)]


def test_a_crowd_is_kept_out(monkeypatch) -> None:
    monkeypatch.setattr(nodes, "NODES_MAX", 3)
    known = Nodes(OWN, REMEMBERED_S)
    refusals = [heard(known, beat(origin, number), 0.0) for number, origin in enumerate("abca", 1)]
    assert refusals == [None, None, "crowd", None]


def test_recorded_beats_keep_nobody_in_the_list_and_bring_nobody_back() -> None:
    known = Nodes(OWN, REMEMBERED_S)
    for number in (1, 2, 3):
        heard(known, beat("a", number), 0.0)
    assert heard(known, beat("a", 3), 4.0) == "replayed"
    assert [gone.sender for gone in known.expire(5.1)] == [("a", 7)]
    known.expire(100.0)
    assert [heard(known, beat("a", number), 100.0) for number in (2, 3)] == ["replayed"] * 2
    assert heard(known, beat("a", 4), 100.0) is None


def test_the_first_beat_of_a_node_has_to_be_fresh_and_the_others_only_to_be_new() -> None:
    known = Nodes(OWN, REMEMBERED_S)
    assert known.beat(beat("a"), 0.0, is_fresh=False) == "stale"
    assert known.all() == [OWN]
    assert known.beat(beat("a", 2), 0.0, is_fresh=True) is None
    assert known.beat(beat("a", 3), 1.0, is_fresh=False) is None


def test_nodes_of_the_past_are_forgotten_in_time_and_when_there_are_too_many(monkeypatch) -> None:
    monkeypatch.setattr(nodes, "NODES_MAX", 2)
    known = Nodes(OWN, REMEMBERED_S)
    for at, origin in enumerate("abc"):
        heard(known, beat(origin), 10.0 * at)
        known.expire(10.0 * at + 6.0)
    assert list(known._past) == [("b", 7), ("c", 7)]
    known.expire(26.0 + REMEMBERED_S)
    assert not known._past
