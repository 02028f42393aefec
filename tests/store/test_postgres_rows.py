"""Rows of readings; what the contract suite cannot see from outside."""

from __future__ import annotations

import pytest

from sensorcast.store.postgres_rows import escape, from_row, to_row
from tests.contracts.store import FULL
from tests.readings import reading


@pytest.mark.parametrize("name", ["a", "%", "%00", "\0", "%25\0", "ä"])
def test_any_metric_name_comes_back_and_holds_no_nul(name: str) -> None:
    assert "\0" not in escape(name)
    item = reading(metrics={name: 1.0})
    assert from_row(selected(item)) == item


def test_a_row_selected_gives_the_reading_it_was_made_of() -> None:
    assert from_row(selected(FULL)) == FULL


def selected(item: object) -> tuple[object, ...]:
    """The row as a SELECT gives it: organization and unit by name."""
    row = to_row(item, (1, 2))  # type: ignore[arg-type]
    return ("acme", "u1", row[1], row[2], row[4], *row[5:])
