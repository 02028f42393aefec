"""Readings for tests of the live side: only what a test is about is named."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sensorcast.model import Reading

T0_US = 1_795_000_000_000_000


def reading(unit_id: str = "u1", at_us: int = 0, *, org: str = "a", **fields: Any) -> Reading:
    """A reading recorded `at_us` after a fixed moment; its id says which one it is."""
    values = {"temperature": 4.25, "given_id": f"{org}/{unit_id}/{at_us}"} | fields
    return Reading(
        organization_id=org, unit_id=unit_id, recorded_at_us=T0_US + at_us, received_at_us=T0_US + at_us, **values
    )


def streams_of_readings(max_size: int = 60) -> st.SearchStrategy[list[Reading]]:
    """Distinct readings of few units in two organizations that name their units alike, in any order of time."""
    keys = st.tuples(st.sampled_from("ab"), st.sampled_from(["u1", "u2", "u3"]), st.integers(0, 20), st.integers(0, 3))
    return st.lists(keys, max_size=max_size, unique=True).map(
        lambda each: [
            reading(unit, at, org=org, given_id=f"{org}{unit}{at}-{n}", device_id=f"d{n}") for org, unit, at, n in each
        ]
    )
