"""Ingest bodies for tests of the decoder."""

from __future__ import annotations

import json
from typing import Any

from sensorcast.errors import InvalidReading
from sensorcast.formats import readings_json
from sensorcast.model import Reading, format_time
from sensorcast.settings import Settings
from tests.readings import T0_US

SETTINGS = Settings(ingest_max_readings=20)
NOW_TEXT = format_time(T0_US)
UUID = "123e4567-e89b-42d3-a456-426614174000"


def decode(body: bytes | str, settings: Settings = SETTINGS) -> list[Reading | InvalidReading]:
    raw = body if isinstance(body, bytes) else body.encode()
    return readings_json.decode(raw, organization_id="acme", now_us=T0_US, settings=settings)


def item(**fields: Any) -> dict[str, Any]:
    return {"unitId": "u1", "recordedAt": NOW_TEXT, "temperature": 4.5} | fields


def body(*items: Any) -> bytes:
    return json.dumps({"readings": items}, ensure_ascii=False).encode()
