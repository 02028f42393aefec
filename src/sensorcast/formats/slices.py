"""A large ingest body as several small ones, so that whoever decodes it can let others run in between.

The invariant: decoding the slices one after the other gives what decoding the body gives, and a body for which that is
not certain is left whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from sensorcast.errors import MalformedRequest
from sensorcast.settings import Settings

SLICE_BYTES: Final = 128 * 1024
"""Some 3 ms of decoding."""

_COMMAS_PER_READING: Final = 80
"""More than any good reading has. A body with more of them than that may hold millions of items: not worth a look."""

_ENVELOPE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_BLANKS: Final = b" \t\r\n"
_HEAD: Final = b'{"readings":['
_TAIL: Final = b"]}"
_BEFORE_READINGS: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"readings"[ \t\r\n]*:[ \t\r\n]*')
_BEHIND_READINGS: Final = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*")


def is_small(body: bytes) -> bool:
    """Whether decoding all of a body takes so little time that splitting it gains nothing."""
    return len(body) < 2 * SLICE_BYTES


def split(body: bytes, settings: Settings) -> Sequence[bytes]:
    """Give bodies that hold the items of `body`, in order. Raises `MalformedRequest` when it is not UTF-8."""
    if is_small(body) or body.count(b",") > settings.ingest_max_readings * _COMMAS_PER_READING:
        return (body,)
    try:
        body.decode()
        envelope = _ENVELOPE.decode(body)
        items = _ITEMS.decode(envelope["readings"])
    except UnicodeDecodeError as exc:
        raise MalformedRequest(f"the body is not UTF-8 at byte {exc.start}") from None
    except (msgspec.DecodeError, KeyError, RecursionError):
        return (body,)  # decoding it says best what is wrong with it
    if len(items) > settings.ingest_max_readings:
        return (body,)
    return list(_slices(items)) if items and _names_each_field_once(envelope, body) else (body,)


def _names_each_field_once(envelope: dict[str, msgspec.Raw], body: bytes) -> bool:
    """Whether the outermost object is what was decoded of it, with no field named twice."""
    head = _BEFORE_READINGS.match(body)
    if head and _BEHIND_READINGS.fullmatch(body, head.end() + memoryview(envelope["readings"]).nbytes):
        return True  # there is nothing beside the readings: a second field would make the object longer
    fields = (msgspec.json.encode(name) + b":" + bytes(value) for name, value in envelope.items())
    again = b"{" + b",".join(fields) + b"}"
    return len(again.translate(None, _BLANKS)) == len(body.translate(None, _BLANKS))


def _slices(items: Sequence[msgspec.Raw]) -> Iterator[bytes]:
    part: list[bytes] = []
    size_bytes = 0
    for item in items:
        part.append(bytes(item))
        size_bytes += len(part[-1])
        if size_bytes >= SLICE_BYTES:
            yield _HEAD + b",".join(part) + _TAIL
            part, size_bytes = [], 0
    if part:
        yield _HEAD + b",".join(part) + _TAIL
