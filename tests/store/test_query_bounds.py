"""Only so many queries wait."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from sensorcast.errors import Unavailable
from sensorcast.store.query_bounds import QUERIES_MAX, QueryBounds


def test_one_query_too_many_is_refused_at_once_and_a_place_is_given_back_whatever_happens() -> None:
    bounds = QueryBounds()
    with ExitStack() as waiting:
        for _ in range(QUERIES_MAX):
            waiting.enter_context(bounds.place())
        with pytest.raises(Unavailable, match=str(QUERIES_MAX)):
            waiting.enter_context(bounds.place())
    for _ in range(2 * QUERIES_MAX):
        with pytest.raises(RuntimeError), bounds.place():
            raise RuntimeError("a query that fails")
