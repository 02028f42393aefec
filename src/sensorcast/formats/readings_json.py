"""The ingest body `{"readings": [...]}`: bytes in, one `Reading` or `InvalidReading` per item out.

Owns the rules of the reading table. The invariant: a body that is strict JSON of the right shape gives exactly one
result per item, in order, and a bad item never harms its neighbours; anything else is one `MalformedRequest`.
A body that is all good, as almost every body is, takes the quick way of `plain_readings`; any doubt leads to the next,
more careful one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from sensorcast import strict_json
from sensorcast.errors import InvalidReading, MalformedRequest
from sensorcast.formats import plain_readings
from sensorcast.formats.reading_fields import (
    DEFAULT_SOURCE,
    RULES,
    Battery,
    Humidity,
    Id,
    Metrics,
    Moment,
    SignalStrength,
    Source,
    Temperature,
    Uuid,
    microseconds,
)
from sensorcast.model import Reading, format_time, given_id
from sensorcast.settings import Settings


class _Item(msgspec.Struct, rename="camel", gc=False):
    """One item as it may arrive. Null means the same as leaving the field out; unknown fields are ignored."""

    unit_id: Id
    recorded_at: Moment
    id: Uuid | UnsetType | None = UNSET
    device_id: Id | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    humidity: Humidity | UnsetType | None = UNSET
    battery: Battery | UnsetType | None = UNSET
    signal_strength: SignalStrength | UnsetType | None = UNSET
    metrics: Metrics | UnsetType | None = UNSET
    source: Source | UnsetType | None = UNSET
    site_id: Id | UnsetType | None = UNSET


class _Envelope(msgspec.Struct):
    readings: list[_Item]


_NO_VALUES: Final = "at least one of temperature, humidity, battery, signalStrength and metrics must have a value"
_FIELD: Final = re.compile(r"`\$\.(\w+)|field `(\w+)`")
_DECODER: Final = msgspec.json.Decoder(_Envelope)
_ENCODER: Final = msgspec.json.Encoder()
_AMBIGUOUS: Final = object()


def decode(body: bytes, *, organization_id: str, now_us: int, settings: Settings) -> list[Reading | InvalidReading]:
    """Decode an ingest body; give one result per item, in order.

    Times are rounded to the microsecond. Raises `MalformedRequest` when the body as a whole cannot be used.
    """
    window = _Window(now_us, settings)
    plain = plain_readings.decode(body, organization_id, now_us, window.oldest_us, window.newest_us)
    if plain is not None:
        _check_count(len(plain), settings)
        return cast(list[Reading | InvalidReading], plain)
    items = _all_good(body)
    if items is None:
        items = _one_by_one(body, settings)
    _check_count(len(items), settings)
    return [_judged(item, organization_id, window) for item in items]


class _Window:
    """The times accepted now."""

    __slots__ = ("_settings", "newest_us", "now_us", "oldest_us")

    def __init__(self, now_us: int, settings: Settings) -> None:
        self._settings = settings
        self.now_us = now_us
        self.oldest_us = now_us - settings.ingest_past_window_s * 1_000_000
        self.newest_us = now_us + settings.ingest_future_window_s * 1_000_000

    def refusal(self, recorded_at: datetime, recorded_at_us: int) -> InvalidReading:
        """Say on which side of the window a time is, and which setting draws that line."""
        if recorded_at_us < self.oldest_us:
            line = f"{self._settings.ingest_past_window_s} s (setting ingest_past_window_s) before"
        else:
            line = f"{self._settings.ingest_future_window_s} s (setting ingest_future_window_s) after"
        now = format_time(self.now_us)
        message = f"recordedAt {recorded_at.isoformat()} is more than {line} the server's time {now}"
        return InvalidReading("time_out_of_window", message)


def _all_good(body: bytes) -> Sequence[_Item | InvalidReading] | None:
    """Decode a body in which everything is known, unambiguous and in its bounds; None when that is not certain.

    Were there a name twice or one we ignore, the text would have more of them than what was decoded. With every name
    known, nesting cannot be deep either.
    """
    try:
        envelope = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    names = _ENCODER.encode(envelope).count(b'":')
    return envelope.readings if names == strict_json.count_names(body) else None


def _one_by_one(body: bytes, settings: Settings) -> Sequence[_Item | InvalidReading]:
    """Decode a body in which something is wrong, unknown or unusual."""
    try:
        body.decode()
        document = strict_json.decode(body, max_depth=settings.json_max_depth)
    except UnicodeDecodeError as exc:
        raise MalformedRequest(f"the body is not UTF-8 at byte {exc.start}") from None
    except strict_json.JsonError as exc:
        raise MalformedRequest(f"{exc} (depth: setting json_max_depth)" if "deeper" in str(exc) else str(exc)) from None
    items = _items(document, settings)
    if _has_repeated_names(body, document):
        items = _without_ambiguous(body, items)
    return [item if isinstance(item, InvalidReading) else _typed(item) for item in items]


def _items(document: Any, settings: Settings) -> list[Any]:
    items = document.get("readings") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise MalformedRequest('the body must be an object with an array "readings"', hint='{"readings": [{...}]}')
    _check_count(len(items), settings)
    return items


def _check_count(count: int, settings: Settings) -> None:
    if count == 0:
        raise MalformedRequest('"readings" is empty; send at least one reading')
    if count > settings.ingest_max_readings:
        limit = f"{settings.ingest_max_readings} (setting ingest_max_readings)"
        raise MalformedRequest(f'"readings" has {count} items; the most in one request is {limit}')


def _has_repeated_names(body: bytes, document: Any) -> bool:
    """Tell whether an object of the body may name a field twice; certain only when the answer is no."""
    return strict_json.count_names(body) != _ENCODER.encode(document).count(b'":')


def _without_ambiguous(body: bytes, items: Sequence[Any]) -> list[Any]:
    """Replace the items that name a field twice; the standard library's parser is slow, but shows every name."""
    document = json.loads(body, object_pairs_hook=_object, parse_int=str, parse_float=str)
    if document is _AMBIGUOUS:
        raise MalformedRequest('the body names a field twice beside "readings"')
    refusal = InvalidReading("duplicate_field", "a field is named twice, so its value is ambiguous")
    pairs = zip(items, document["readings"], strict=True)
    return [refusal if shown is _AMBIGUOUS else item for item, shown in pairs]


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs) or any(value is _AMBIGUOUS for value in found.values()):
        return _AMBIGUOUS
    return found


def _typed(item: Any) -> _Item | InvalidReading:
    try:
        return msgspec.convert(item, _Item)
    except msgspec.ValidationError as exc:
        return _explain(str(exc))


def _explain(problem: str) -> InvalidReading:
    """Turn msgspec's words, like "Expected `float` <= 100.0 - at `$.humidity`", into a code and a rule."""
    match = _FIELD.search(problem)
    if match is None:
        return InvalidReading("wrong_type", "a reading must be an object")
    name = match.group(1) or match.group(2)
    if "missing required field" in problem:
        return InvalidReading("missing_field", f"{name} is missing; it must be {RULES[name]}")
    code = "out_of_range" if ">=" in problem or "<=" in problem or "out of range" in problem else "invalid_value"
    return InvalidReading("wrong_type" if "got `" in problem else code, f"{name} must be {RULES[name]}")


def _judged(item: _Item | InvalidReading, organization_id: str, window: _Window) -> Reading | InvalidReading:
    """Apply the rules that no single field shows, and give the reading."""
    if isinstance(item, InvalidReading):
        return item
    recorded_at_us = microseconds(item.recorded_at)
    if not window.oldest_us <= recorded_at_us <= window.newest_us:
        return window.refusal(item.recorded_at, recorded_at_us)
    device_id = item.device_id or None
    reading = Reading(
        organization_id=organization_id,
        unit_id=item.unit_id,
        recorded_at_us=recorded_at_us,
        received_at_us=window.now_us,
        given_id=given_id(item.id, organization_id, item.unit_id, device_id, recorded_at_us) if item.id else None,
        device_id=device_id,
        temperature=None if item.temperature is UNSET else item.temperature,
        humidity=None if item.humidity is UNSET else item.humidity,
        battery=None if item.battery is UNSET else item.battery,
        signal_strength=None if item.signal_strength is UNSET else item.signal_strength,
        metrics=item.metrics or None,
        source=item.source or DEFAULT_SOURCE,
        site_id=item.site_id or None,
    )
    return reading if _measures(reading) else InvalidReading("no_values", _NO_VALUES)


def _measures(reading: Reading) -> bool:
    return (
        reading.temperature is not None
        or reading.humidity is not None
        or reading.battery is not None
        or reading.signal_strength is not None
        or reading.metrics is not None
    )
