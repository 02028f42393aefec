"""What an entry of the registry may hold, in one place for every door and every store.

Owns the bounds of names and metadata. The invariant: an entry that passed `check_entry` can be stored by every store,
shown on a page and written into JSON, and takes a few KiB at most.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any, Final

import msgspec

from sensorcast.errors import InvalidRequest
from sensorcast.model import Device, Entry, Metadata, Unit, is_valid_id

NAME_MAX_CHARACTERS: Final = 200
"""Of a name, an area, or the name of an entry of metadata: a line on a screen."""

METADATA_MAX_ENTRIES: Final = 32
METADATA_MAX_BYTES: Final = 4096
"""As JSON. What is larger belongs into a database of the operator's own, under the unit's id."""

_WHOLE_NUMBER_MAX: Final = 2**53
"""Larger ones lose digits in the JavaScript of whoever reads them."""

_NOT_IN_A_LINE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, halves of surrogate pairs, and separators of lines and paragraphs."""


def check_entry(entry: Entry) -> None:
    """Raise `InvalidRequest` naming the field of `entry` that is not allowed, and what it may be."""
    _check_id("organizationId", entry.organization_id)
    _check_id(f"{type(entry).__name__.lower()}Id", entry.entry_id)
    _check_text("name", entry.name)
    if isinstance(entry, Unit):
        _check_text("area", entry.area)
        _check_id("siteId", entry.site_id, optional=True)
    if isinstance(entry, Device):
        _check_id("unitId", entry.unit_id, optional=True)
    _check_metadata(entry.metadata)


def _check_id(field: str, text: str | None, *, optional: bool = False) -> None:
    if not is_valid_id(text) and not (optional and text is None):
        raise InvalidRequest(f"{field} must be 1-128 characters of A-Z a-z 0-9 _ . : -")


def _check_text(field: str, text: str) -> None:
    if not is_line(text):
        raise InvalidRequest(f"{field} must be at most {NAME_MAX_CHARACTERS} characters without control characters")


def _check_metadata(metadata: Metadata) -> None:
    if len(metadata) > METADATA_MAX_ENTRIES:
        raise InvalidRequest(f"metadata has {len(metadata)} entries; the most is {METADATA_MAX_ENTRIES}")
    for name, value in metadata.items():
        if not name or not is_line(name):
            raise InvalidRequest(
                f"names in metadata must be 1-{NAME_MAX_CHARACTERS} characters without control characters"
            )
        if not _is_plain(value):
            raise InvalidRequest(
                "values in metadata must be text, true, false or numbers (whole ones within 2^53)",
                hint="Metadata is flat: no null, no arrays, no objects.",
            )
    size_bytes = len(msgspec.json.encode(metadata))
    if size_bytes > METADATA_MAX_BYTES:
        raise InvalidRequest(f"metadata takes {size_bytes} bytes as JSON; the most is {METADATA_MAX_BYTES}")


def is_line(text: str) -> bool:
    """Tell whether a text is short, and nothing in it breaks a line or steers a terminal."""
    if len(text) > NAME_MAX_CHARACTERS:
        return False
    return (text.isascii() and text.isprintable()) or not any(
        unicodedata.category(each) in _NOT_IN_A_LINE for each in text
    )


def _is_plain(value: Any) -> bool:
    match value:
        case bool():
            return True
        case int():
            return -_WHOLE_NUMBER_MAX <= value <= _WHOLE_NUMBER_MAX
        case float():
            return math.isfinite(value)
        case str():
            return value.isascii() or not any(unicodedata.category(each) == "Cs" for each in value)
        case _:
            return False
