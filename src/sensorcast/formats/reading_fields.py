"""What each field of a reading may be, as types that the decoder checks and as words for people.

Owns the bounds of the reading table. The invariant: both ways through a body, the quick one and the careful one, take
their rules from here, and each rule has its words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from sensorcast.model import ID_PATTERN

Id = Annotated[str, Meta(pattern=ID_PATTERN.replace("$", r"\Z"))]
Uuid = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")]
Source = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:\-]{1,32}\Z")]
Moment = Annotated[datetime, Meta(tz=True)]
Temperature = Annotated[float, Meta(ge=-273.15, le=10000)]
Humidity = Annotated[float, Meta(ge=0, le=100)]
Battery = Annotated[int, Meta(ge=0, le=100)]
SignalStrength = Annotated[int, Meta(ge=-200, le=50)]
Metrics = Annotated[dict[Annotated[str, Meta(min_length=1, max_length=128)], float], Meta(max_length=64)]

DEFAULT_SOURCE: Final = "api"

RULES: Final = {
    "unitId": "1-128 characters of A-Z a-z 0-9 _ . : -",
    "deviceId": "1-128 characters of A-Z a-z 0-9 _ . : -",
    "siteId": "1-128 characters of A-Z a-z 0-9 _ . : -",
    "recordedAt": "an RFC 3339 time with its zone, like 2026-01-31T12:00:00Z",
    "id": "a UUID like 123e4567-e89b-42d3-a456-426614174000",
    "temperature": "a number from -273.15 to 10000 (deg C)",
    "humidity": "a number from 0 to 100 (% RH)",
    "battery": "an integer from 0 to 100 (%)",
    "signalStrength": "an integer from -200 to 50 (dBm)",
    "metrics": "an object of at most 64 finite numbers by names of 1-128 characters",
    "source": "1-32 characters of A-Z a-z 0-9 _ . : -",
}
"""The rule of each field in words, for the people whose item was refused."""


def microseconds(moment: datetime) -> int:
    """Give a time in microseconds since 1970."""
    # A float holds today's microseconds exactly; rounding takes back what the division by 10**6 moved.
    return round(moment.timestamp() * 1_000_000)
