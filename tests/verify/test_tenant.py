"""Canaries are random, are in every reading, and are the same for nobody else."""

from __future__ import annotations

from datetime import UTC, datetime

from sensorcast.formats import readings_json
from sensorcast.model import Reading
from sensorcast.settings import Settings
from sensorcast.strict_json import encode
from sensorcast.verify.tenant import SHARED_UNITS, Tenant


def tenant(name: str = "acme") -> Tenant:
    return Tenant(name, "token", f"scast_{name}_x_y", datetime.now(UTC))


def test_no_secret_is_shared() -> None:
    assert not set(tenant().secrets) & set(tenant("globex").secrets)


def test_units_are_its_own_but_for_those_that_all_have() -> None:
    assert set(tenant().units) & set(tenant("globex").units) == set(SHARED_UNITS)


def test_its_readings_are_taken_and_carry_canaries() -> None:
    one = tenant()
    readings = []
    for unit_id in one.units:
        readings.append(one.next_reading(unit_id))
        one.stored(unit_id, f"id-{unit_id}")
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    body = encode({"readings": readings})
    items = readings_json.decode(body, organization_id="acme", now_us=now_us, settings=Settings())
    assert all(isinstance(item, Reading) for item in items)
    assert (one.sent, set(one.sent_to)) == (3, set(one.units))
    assert body.count(one.canary.encode()) >= 6
    assert body.count(str(one.temperature).encode()) == 3
