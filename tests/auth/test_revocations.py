"""Revocations: what they name holds no longer, what they do not name is untouched, and news arrives by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from sensorcast.auth import Revocations, RevocationWatch
from sensorcast.errors import Unauthenticated, Unavailable
from sensorcast.model import Identity, Revocation, RevocationKind, Role

ME = Identity(organization_id="acme", subject="me", role=Role.VIEWER, token_id="t1", issued_at_s=100.0)
KEY = Identity(organization_id="acme", subject="key:k1", role=Role.VIEWER, key_id="k1", issued_at_s=100.0)


def revoked(
    kind: RevocationKind, subject: str = "", *, organization_id: str = "acme", at_s: float = 200
) -> Revocations:
    revocations = Revocations()
    at_us = int(at_s * 1e6)
    revocations.add(
        Revocation(organization_id=organization_id, kind=kind, subject=subject, revoked_at_us=at_us, number=1)
    )
    return revocations


@pytest.mark.parametrize(
    ("revocations", "gone"),
    [
        (revoked(RevocationKind.TOKEN, "t1"), {"me"}),
        (revoked(RevocationKind.TOKEN, "t2"), set()),
        (revoked(RevocationKind.TOKEN, "k1"), set()),
        (revoked(RevocationKind.KEY, "k1"), {"key:k1"}),
        (revoked(RevocationKind.USER, "me"), {"me"}),
        (revoked(RevocationKind.USER, "you"), set()),
        (revoked(RevocationKind.USER, "me", at_s=99.9), set()),
        (revoked(RevocationKind.ORGANIZATION), {"me", "key:k1"}),
        (revoked(RevocationKind.ORGANIZATION, at_s=99.9), set()),
        (revoked(RevocationKind.ORGANIZATION, organization_id="globex"), set()),
        (revoked(RevocationKind.USER, "me", organization_id="globex"), set()),
        (revoked(RevocationKind.TOKEN, "t1", organization_id="globex"), set()),
        (Revocations(), set()),
    ],
)
def test_a_revocation_ends_what_it_names_and_nothing_else(revocations: Revocations, gone: set[str]) -> None:
    assert {each.subject for each in (ME, KEY) if revocations.is_revoked(each)} == gone


def test_a_token_that_does_not_say_when_it_was_issued_counts_as_old() -> None:
    undated = msgspec.structs.replace(ME, issued_at_s=None)
    assert revoked(RevocationKind.USER, "me").is_revoked(undated)
    assert not revoked(RevocationKind.USER, "you").is_revoked(undated)


def test_within_one_second_the_fraction_decides_and_without_one_the_token_counts_as_older() -> None:
    revocations = revoked(RevocationKind.USER, "me", at_s=100.5)
    issued = {at_s: msgspec.structs.replace(ME, issued_at_s=at_s) for at_s in (100.0, 100.49, 100.51, 101.0)}
    gone = {at_s for at_s, identity in issued.items() if revocations.is_revoked(identity)}
    assert gone == {100.0, 100.49}


def test_an_older_revocation_does_not_undo_a_newer_one() -> None:
    revocations = revoked(RevocationKind.USER, "me", at_s=200)
    revocations.add(Revocation(organization_id="acme", kind=RevocationKind.USER, subject="me", revoked_at_us=1))
    assert revocations.is_revoked(ME)


def test_a_check_of_what_was_revoked_raises() -> None:
    with pytest.raises(Unauthenticated, match="revoked"):
        revoked(RevocationKind.TOKEN, "t1").check(ME)
    Revocations().check(ME)


class Source:
    def __init__(self) -> None:
        self.rows: list[Revocation] = []
        self.down = False

    def add(self, number: int) -> None:
        row = Revocation(
            organization_id="acme",
            kind=RevocationKind.TOKEN,
            subject=f"t{number}",
            revoked_at_us=1,
            number=number,
        )
        self.rows = sorted([*self.rows, row], key=lambda each: each.number)

    async def revocations_since(self, number: int) -> Sequence[Revocation]:
        if self.down:
            raise Unavailable("down")
        return [row for row in self.rows if row.number > number]


class Watched:
    def __init__(self) -> None:
        self.source, self.revocations, self.told = Source(), Revocations(), list[int]()
        self.watch = RevocationWatch(self.source, self.revocations, on_change=self.tell)

    def tell(self, new: Sequence[Revocation]) -> None:
        self.told += [each.number for each in new]


async def test_everything_is_there_after_the_first_look_and_news_is_told_once() -> None:
    watched = Watched()
    for number in (1, 2, 300):
        watched.source.add(number)
    await watched.watch.look()
    await watched.watch.look()
    assert watched.told == [1, 2, 300]
    assert watched.revocations.is_revoked(ME)


async def test_one_that_is_committed_late_is_not_missed() -> None:
    watched = Watched()
    for number in (7, 9, 8):
        watched.source.add(number)
        await watched.watch.look()
    assert watched.told == [7, 9, 8]


async def test_what_is_known_goes_on_to_count_while_the_store_does_not_answer() -> None:
    watched = Watched()
    watched.source.add(1)
    await watched.watch.look()
    watched.source.down = True
    with pytest.raises(Unavailable):
        await watched.watch.look()
    assert watched.revocations.is_revoked(ME)
