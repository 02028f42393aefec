"""Cursors of history pages: the place behind one reading, as text that clients hand back unchanged.

The invariant: what comes out of `decode_cursor` is a place a reading could have, whatever text came in. Every store
uses the same form, so a cursor outlives a move from one store to another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from sensorcast.errors import InvalidRequest
from sensorcast.model import Reading, is_valid_id
from sensorcast.store import ReadingPage

FROM_THE_START: Final = (2**63 - 1, "")
"""A place newer than every reading."""


def page_of(found: Sequence[Reading], limit: int) -> ReadingPage:
    """Give the first `limit` of what was found; one more tells that there is another page."""
    page = found[:limit]
    return ReadingPage(readings=page, next_cursor=encode_cursor(page[-1]) if len(found) > limit else None)


def encode_cursor(reading: Reading) -> str:
    """Give the text that says "behind this reading" in a unit's history."""
    text = f"{reading.recorded_at_us}/{reading.device_id or ''}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Give (recorded_at_us, device id) of a cursor. Raises `InvalidRequest` for one that is not ours."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        time_text, _, device_id = text.partition("/")
        recorded_at_us = int(time_text)
    except (binascii.Error, ValueError):
        raise InvalidRequest("cursor is not one this server gave") from None
    if abs(recorded_at_us) >= 2**63 or (device_id and not is_valid_id(device_id)):
        raise InvalidRequest("cursor is not one this server gave")
    return recorded_at_us, device_id
