"""Query parameters of the web door: text in, checked values out.

The invariant: a parameter that is not understood is refused with `InvalidRequest` naming it and what it may be; it is
never ignored, clipped or guessed. A parameter given twice is not understood either.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from starlette.datastructures import QueryParams

from sensorcast.errors import InvalidRequest
from sensorcast.model import is_valid_id

FIRST_US: Final = 0
LAST_US: Final = 253_402_300_800_000_000
"""Year 10000: behind every time that can be written, and within what every store can compare."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LONGEST_DIGITS: Final = 9


def check_names(query: QueryParams, allowed: frozenset[str], *, repeatable: frozenset[str] = frozenset()) -> None:
    """Raise `InvalidRequest` for a parameter that is unknown here, or given twice and not repeatable."""
    seen: set[str] = set()
    for name, _ in query.multi_items():
        if name not in allowed:
            raise InvalidRequest("there is a parameter not known here", hint=f"known are {', '.join(sorted(allowed))}")
        if name in seen - repeatable:
            raise InvalidRequest(f"{name} is given more than once")
        seen.add(name)


def whole_number(query: QueryParams, name: str, *, default: int, highest: int) -> int:
    """Give a whole number from 1 to `highest`."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_DIGITS and 1 <= int(text) <= highest):
        raise InvalidRequest(f"{name} must be a whole number from 1 to {highest}")
    return int(text)


def entry_id(query: QueryParams, name: str) -> str | None:
    """Give the id of a site, unit or device to filter by; None when it is left out."""
    text = query.get(name)
    if text is not None and not is_valid_id(text):
        raise InvalidRequest(f"{name} must be 1 to 128 of A-Z a-z 0-9 _ . : -")
    return text


def moment_us(query: QueryParams, name: str, *, default: int) -> int:
    """Give an RFC 3339 time with zone as microseconds since 1970."""
    text = query.get(name)
    if text is None:
        return default
    try:
        moment = msgspec.convert(text, datetime)
        if moment.tzinfo is None:
            raise InvalidRequest(f"{name} needs a time zone", hint="for example 2025-10-01T12:00:00Z")
        return (moment - _EPOCH) // _MICROSECOND
    except (msgspec.ValidationError, OverflowError):
        raise InvalidRequest(
            f"{name} must be an RFC 3339 time with zone",
            hint="for example 2025-10-01T12:00:00Z; in an address write + as %2B",
        ) from None


def span_us(query: QueryParams) -> tuple[int, int]:
    """Give `start` and `end`, which may each be left out."""
    start_us = moment_us(query, "start", default=FIRST_US)
    end_us = moment_us(query, "end", default=LAST_US)
    if start_us >= end_us:
        raise InvalidRequest("start must be before end")
    return start_us, end_us
