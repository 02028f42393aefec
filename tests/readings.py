"""Readings for tests of the way in: only what a test is about is named."""

from __future__ import annotations

from typing import Any

from sensorcast.model import Reading, given_id

T0_US = 1_795_000_000_000_000
T0_S = T0_US / 1_000_000
SECOND_US = 1_000_000


def reading(unit_id: str = "u1", at_us: int = 0, *, org: str = "acme", **fields: Any) -> Reading:
    """A reading recorded `at_us` after a fixed moment."""
    recorded_at_us = T0_US + at_us
    values: dict[str, Any] = {"received_at_us": recorded_at_us + 250_000, "temperature": 4.25} | fields
    if "given_id" in values:
        values["given_id"] = given_id(values["given_id"], org, unit_id, values.get("device_id"), recorded_at_us)
    return Reading(organization_id=org, unit_id=unit_id, recorded_at_us=recorded_at_us, **values)


def series(count: int, unit_id: str = "u1", *, org: str = "acme", start_us: int = 0) -> list[Reading]:
    """`count` readings of one unit, a second apart, oldest first."""
    return [reading(unit_id, start_us + number * SECOND_US, org=org) for number in range(count)]
