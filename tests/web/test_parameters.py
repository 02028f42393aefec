"""Claims about query parameters: understood or refused, never guessed."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from sensorcast.errors import InvalidRequest
from sensorcast.web import parameters


@pytest.mark.parametrize(
    ("text", "epoch_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("2025-10-09T08:53:20.123456Z", 1_760_000_000_123_456),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_a_time_is_kept_to_the_microsecond(text: str, epoch_us: int) -> None:
    assert parameters.moment_us(QueryParams({"start": text}), "start", default=7) == epoch_us


def test_left_out_parameters_take_their_defaults() -> None:
    assert parameters.whole_number(QueryParams(""), "limit", default=100, highest=1_000) == 100
    assert parameters.span_us(QueryParams("")) == (parameters.FIRST_US, parameters.LAST_US)


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="limit is given more than once"):
        parameters.check_names(QueryParams("limit=1&limit=2"), frozenset({"limit"}))


def test_a_refusal_names_the_parameter_and_its_bounds() -> None:
    with pytest.raises(InvalidRequest, match="limit must be a whole number from 1 to 50"):
        parameters.whole_number(QueryParams("limit=51"), "limit", default=1, highest=50)


def test_the_last_moment_is_behind_every_time_that_can_be_written() -> None:
    last = parameters.moment_us(QueryParams({"end": "9999-12-31T23:59:59.999999Z"}), "end", default=0)
    assert last < parameters.LAST_US
