"""The readings that are sent, as request bodies made before the clock starts, and as rows for the bare loops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

import msgspec

from sensorcast.formats.readings_json import decode
from sensorcast.model import Reading, format_time
from sensorcast.settings import Settings

UNITS = 200
ORGANIZATION = "org-0"


def bodies(requests: int, readings_per_request: int, *, apart_us: int = 1_000) -> list[bytes]:
    """Give that many different bodies; together the units send in turn, so far apart, up to now."""
    total = requests * readings_per_request
    start_us = time.time_ns() // 1_000 - total * apart_us
    items = (
        {
            "unitId": f"unit-{number % UNITS}",
            "recordedAt": format_time(start_us + number * apart_us),
            "temperature": number % 400 / 10 - 20,
            "humidity": 50.5,
            "battery": number % 101,
            "signalStrength": -70,
        }
        for number in range(total)
    )
    return [msgspec.json.encode({"readings": list(islice(items, readings_per_request))}) for _ in range(requests)]


def readings(sent: Sequence[bytes]) -> list[Reading]:
    """Give the readings of bodies, as the product decodes them."""
    now_us = time.time_ns() // 1_000
    found: list[Reading] = []
    for body in sent:
        for item in decode(body, organization_id=ORGANIZATION, now_us=now_us, settings=Settings()):
            assert isinstance(item, Reading), item
            found.append(item)
    return found
