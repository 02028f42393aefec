"""Readings as clients see them: the one home of their JSON, for batches, `get:latest` and the web door.

Owns field names and order of outgoing readings, and how a unit's readings become batch payloads. The invariant: what
leaves is strict JSON with absent values as null, times always `YYYY-MM-DDTHH:MM:SS.ffffffZ`, readings of a batch sorted
by `recordedAt`, and no payload longer than its limit unless a single reading is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from sensorcast.model import Reading, format_time

_ENCODER: Final = msgspec.json.Encoder()
_ENVELOPE_BYTES: Final = 256
"""Upper bound of what surrounds the readings in a batch event: names, a unit id of 128, two integers."""

_recorded_at: Final = attrgetter("recorded_at_us")


class _Measured(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What every outgoing reading has."""

    id: str
    device_id: str | None
    temperature: float | None
    humidity: float | None
    battery: int | None
    signal_strength: int | None
    metrics: Mapping[str, float] | None
    recorded_at: str
    timestamp: str
    """Equals `recorded_at`: the name under which the original API sent it."""
    source: str


class BatchReading(_Measured, frozen=True, rename="camel", gc=False):
    """A reading within a batch, whose unit is named once for all."""

    late: bool | UnsetType = UNSET
    """Only there, and then true, when a newer reading of the unit was in a batch before."""


class UnitReading(_Measured, frozen=True, rename="camel", gc=False):
    """A reading on its own, which names its unit and its site."""

    unit_id: str
    site_id: str | None


class _BatchPayload(msgspec.Struct, frozen=True, rename="camel", gc=False):
    unit_id: str
    readings: msgspec.Raw
    count: int
    seq: int


def time_text(epoch_us: int) -> str:
    """Same as `model.format_time`, several times as fast: readings of one flush share their second."""
    second, micros = divmod(epoch_us, 1_000_000)
    return f"{_second_text(second)}.{micros:06d}Z"


@lru_cache(maxsize=4_096)
def _second_text(second: int) -> str:
    return format_time(second * 1_000_000).partition(".")[0]


def batch_reading(reading: Reading) -> BatchReading:
    """Give `reading` as it stands in a batch."""
    recorded_at = time_text(reading.recorded_at_us)
    return BatchReading(
        reading.id,
        reading.device_id,
        reading.temperature,
        reading.humidity,
        reading.battery,
        reading.signal_strength,
        reading.metrics,
        recorded_at,
        recorded_at,
        reading.source,
        reading.late or UNSET,
    )


def unit_reading(reading: Reading) -> UnitReading:
    """Give `reading` as it stands on its own: in `get:latest` and in lists."""
    recorded_at = time_text(reading.recorded_at_us)
    return UnitReading(
        reading.id,
        reading.device_id,
        reading.temperature,
        reading.humidity,
        reading.battery,
        reading.signal_strength,
        reading.metrics,
        recorded_at,
        recorded_at,
        reading.source,
        reading.unit_id,
        reading.site_id,
    )


def reading_json(reading: Reading | None) -> bytes:
    """The answer of `get:latest`: the reading with its unit, or null."""
    return b"null" if reading is None else _ENCODER.encode(unit_reading(reading))


def readings_json(readings: Sequence[Reading]) -> bytes:
    """The answer of `get:latest:all` and the array of lists: readings with their units."""
    return _ENCODER.encode([unit_reading(reading) for reading in readings])


def batch_payloads(
    unit_id: str, readings: Sequence[Reading], *, max_bytes: int, next_seq: Callable[[], int]
) -> Iterator[bytes]:
    """Encode the readings of one unit as the payloads of one or, above `max_bytes`, several batch events.

    Raises `UnicodeEncodeError` when a text cannot be UTF-8, before anything is given out and any number is taken.
    """
    items = [batch_reading(reading) for reading in sorted(readings, key=_recorded_at)]
    for count, array in list(_split(items, max_bytes - _ENVELOPE_BYTES)):
        yield _ENCODER.encode(_BatchPayload(unit_id, msgspec.Raw(array), count, next_seq()))


def _split(items: Sequence[BatchReading], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Encode `items` as JSON arrays within `max_bytes`, halving what is too long: almost always it is one."""
    array = _ENCODER.encode(items)
    if len(array) <= max_bytes or len(items) == 1:
        yield len(items), array
        return
    half = len(items) // 2
    yield from _split(items[:half], max_bytes)
    yield from _split(items[half:], max_bytes)
