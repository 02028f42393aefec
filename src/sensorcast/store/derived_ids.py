"""What an id of the derived form tells: of which moment it could be, and of whose readings.

Used by both stores, which keep no id that follows from the natural key. The invariant: a given id is that of a stored
reading with a derived one only if it is found by one of `times_of` it and by its `digest_of`, which takes one look-up
in `senders`, and one in the readings for each sender found. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sensorcast.model import Reading, given_id, reading_id

Sender = tuple[str, str, str | None]
"""Organization, unit, device: what the end of a derived id is made of."""

_CYCLE_US: Final = 2**48 * 1_000
"""After this time, 8,919 years, derived ids begin anew: the years before 1970 have those of a distant future."""


def sender_of(reading: Reading) -> Sender:
    """Give who measured a reading."""
    return (reading.organization_id, reading.unit_id, reading.device_id)


def id_to_store(reading: Reading) -> str | None:
    """Give the id that was given to a reading by a client, None when it follows from the natural key."""
    if reading.given_id is None:
        return None
    return given_id(reading.given_id, *sender_of(reading), reading.recorded_at_us)


def derived_id(reading: Reading) -> str:
    """Give the id that follows from the natural key, whichever the reading has."""
    return reading_id(*sender_of(reading), reading.recorded_at_us)


def sender_digest(sender: Sender) -> bytes:
    """Give the last 8 bytes of the derived ids of everything that a sender measures."""
    return digest_of(reading_id(*sender, 0))


def is_like_ours(given: str | None) -> bool:
    """Tell whether a given id could be one that is derived for another reading."""
    return given is not None and given[14:15] == "8"


def digest_of(given: str) -> bytes:
    """Give the last 8 bytes of an id."""
    return bytes.fromhex(given[19:].replace("-", ""))


def times_of(given: str) -> Sequence[int]:
    """Give the times of which an id of the derived form could be; none when no time has it."""
    millis, micros = int(given[:8] + given[9:13], 16), int(given[15:18], 16)
    at_us = millis * 1_000 + micros
    return (at_us, at_us - _CYCLE_US) if micros < 1_000 else ()
