"""Who is followed: from the first connection on, and for a while after the last."""

from __future__ import annotations

from sensorcast.cluster.following import LINGER_S, Followed, Following


def following(*organization_ids: str) -> Following:
    made = Following()
    for each in organization_ids:
        made.add(Followed(each, f"org:{each}", 1))
    return made


def test_one_that_is_followed_is_found_by_name_and_by_channel() -> None:
    known = following("a", "b")
    assert known.get("a") is known.on("org:a")
    assert known.get("a") in list(known)
    assert known.get("c") is None
    assert known.on("org:c") is None


def test_one_that_is_left_stays_for_a_while() -> None:
    known = following("a")
    known.leave("a", 0.0)
    assert known.expire(LINGER_S - 0.1) == []
    [gone] = known.expire(LINGER_S)
    assert gone.organization_id == "a"
    assert known.get("a") is None
    assert known.on("org:a") is None
    assert known.expire(LINGER_S) == []


def test_one_that_comes_back_stays_for_good() -> None:
    known = following("a")
    known.leave("a", 0.0)
    assert known.stay("a")
    assert known.expire(10 * LINGER_S) == []
    assert not known.stay("b")


def test_leaving_what_was_never_followed_is_harmless() -> None:
    known = following()
    known.leave("a", 0.0)
    assert known.expire(10 * LINGER_S) == []


def test_each_has_its_own_time() -> None:
    known = following("a", "b", "c")
    known.leave("b", 0.0)
    known.leave("a", 5.0)
    assert [each.organization_id for each in known.expire(LINGER_S + 1)] == ["b"]
    assert [each.organization_id for each in known.expire(LINGER_S + 5)] == ["a"]
