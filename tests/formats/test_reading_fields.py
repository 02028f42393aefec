"""Each rule has its words, and times keep their microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sensorcast.formats.plain_readings import _Item
from sensorcast.formats.reading_fields import RULES, microseconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(at_us=st.integers(-(10**15), 4 * 10**15))
def test_times_keep_their_microseconds(at_us: int) -> None:
    assert microseconds(EPOCH + timedelta(microseconds=at_us)) == at_us


def test_every_field_has_its_rule_in_words() -> None:
    assert set(_Item.__struct_encode_fields__) == set(RULES)
