"""What an id of the derived form tells is what it was made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from sensorcast.model import reading_id
from sensorcast.store.derived_ids import derived_id, digest_of, id_to_store, is_like_ours, sender_digest, times_of
from tests.readings import reading

OTHER_ID = "123e4567-e89b-42d3-a456-426614174000"


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_a_derived_id_tells_its_time_and_its_sender(recorded_at_us: int) -> None:
    sender = ("acme", "u1", "d1")
    made = reading_id(*sender, recorded_at_us)
    assert is_like_ours(made)
    assert recorded_at_us in times_of(made)
    assert {reading_id(*sender, at_us) for at_us in times_of(made)} == {made}
    assert digest_of(made) == sender_digest(sender)


@pytest.mark.parametrize(
    "sender", [("acme", "u1", "d2"), ("acme", "u2", "d1"), ("acm", "eu1", "d1"), ("acme", "u1", None)]
)
def test_another_sender_has_another_digest(sender: tuple[str, str, str | None]) -> None:
    assert sender_digest(sender) != sender_digest(("acme", "u1", "d1"))
    assert len(sender_digest(sender)) == 8


@pytest.mark.parametrize("micros", ["3e8", "fff"])
def test_an_id_with_more_microseconds_than_there_are_is_of_no_time(micros: str) -> None:
    made = reading().id
    assert times_of(f"{made[:15]}{micros}{made[18:]}") == ()


@pytest.mark.parametrize("other", [None, OTHER_ID, "not a uuid", ""])
def test_what_is_no_uuid_of_version_8_is_not_like_ours(other: str | None) -> None:
    assert not is_like_ours(other)


def test_an_id_is_stored_only_where_it_does_not_follow_from_the_natural_key() -> None:
    named = structs.replace(reading(), given_id=reading().id.upper())
    assert [id_to_store(each) for each in (reading(), named, reading(given_id=OTHER_ID))] == [None, None, OTHER_ID]
    assert derived_id(reading(given_id=OTHER_ID)) == reading().id
