"""The list of nodes: in it from the first beat on, out of it after some silence, never too long."""

from __future__ import annotations

from sensorcast.cluster import nodes
from sensorcast.cluster.nodes import Gone, Node, Nodes
from sensorcast.wire.bus import Beat

OWN = Node(name="own", origin="o", since_us=1, is_self=True)


def beat(origin: str, epoch: int = 7, name: str = "other") -> Beat:
    return Beat(channel="beats", origin=origin, epoch=epoch, number=1, name=name)


def test_alone_there_is_one() -> None:
    assert Nodes(OWN).all() == [OWN]


def test_nodes_are_listed_by_name() -> None:
    known = Nodes(OWN)
    known.beat(beat("a", name="zeta"), 0.0)
    known.beat(beat("b", name="alpha"), 0.0)
    assert [each.name for each in known.all()] == ["alpha", "own", "zeta"]
    assert known.all()[0] == Node(name="alpha", origin="b", since_us=7)
    assert len(known) == 3


def test_who_beats_stays_and_who_is_silent_goes() -> None:
    known = Nodes(OWN)
    known.beat(beat("a"), 0.0)
    known.beat(beat("b"), 0.0)
    known.beat(beat("a"), 4.0)
    assert known.expire(5.0) == []
    assert known.expire(5.1) == [Gone(("b", 7), 0.0, has_left=False)]
    assert [each.origin for each in known.all()] == ["a", "o"]


def test_who_said_that_it_leaves_is_known_to_have_left() -> None:
    known = Nodes(OWN)
    known.beat(beat("a"), 0.0)
    known.beat(Beat(channel="beats", origin="a", epoch=7, number=2, name="other", leaves=True), 1.0)
    assert known.expire(7.0) == [Gone(("a", 7), 1.0, has_left=True)]


def test_who_could_not_be_heard_is_excused() -> None:
    known = Nodes(OWN)
    known.beat(beat("a"), 0.0)
    known.excuse(60.0)
    assert known.expire(64.0) == []
    assert known.expire(65.1) == [Gone(("a", 7), 60.0, has_left=False)]


def test_a_crowd_is_kept_out(monkeypatch) -> None:
    monkeypatch.setattr(nodes, "NODES_MAX", 3)
    known = Nodes(OWN)
    assert [known.beat(beat(origin), 0.0) for origin in "abca"] == [True, True, False, True]
