"""History made small, for charts: the series of one unit, and thin samples of many units.

The invariant: an answer never holds more than about `points` moments, whatever span was asked for; and buckets lie on
multiples of their length since 1970, so answers for overlapping spans fit together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sensorcast.errors import InvalidRequest
from sensorcast.model import format_time, is_valid_id
from sensorcast.store import METRIC_PREFIX, Bucket, SeriesStore
from sensorcast.web import parameters
from sensorcast.web.access import Access
from sensorcast.web.answers import Answer, json_response
from sensorcast.web.queries import UNITS_PATH, unit_id_of

SERIES_PATH: Final = UNITS_PATH + "/{unit_id}/series"
SAMPLES_PATH: Final = "/api/orgs/{organization_id}/samples"

DEFAULT_POINTS: Final = 500
POINTS_MAX: Final = 2_000  # more than the pixels of a chart
MEASURES_MAX: Final = 16
UNITS_MAX: Final = 200
LOOKUPS_MAX: Final = 20_000
"""Units times points of one samples request: about 50 ms of one query thread."""

COLUMNS: Final = ("temperature", "humidity", "battery", "signalStrength")
_NAME_MAX: Final = 128
_SECOND_US: Final = 1_000_000
_YEAR_1_US: Final = -62_135_596_800_000_000
"""The earliest time that can be written."""
_LENGTHS_S: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800),
)
"""Bucket lengths people can think in; a longer one is a multiple of the last."""

_SERIES: Final = frozenset({"start", "end", "points", "measure"})
_SAMPLES: Final = _SERIES | {"unit"}


class Values(Answer, frozen=True):
    """One measure of a series, a value per time; null where a bucket has no reading with it."""

    low: Sequence[float | None]
    high: Sequence[float | None]
    mean: Sequence[float | None]


class Series(Answer, frozen=True):
    """Buckets of a unit's history, oldest first; those without readings are left out."""

    start: str
    bucket_ms: int
    times: Sequence[float]
    """Milliseconds since 1970: the mean time of a bucket's readings."""
    counts: Sequence[int]
    measures: Mapping[str, Values]


class Samples(Answer, frozen=True):
    """Per unit one value for every `bucketMs` from `start` on; null where there was no reading."""

    start: str
    bucket_ms: int
    units: Mapping[str, Sequence[float | None]]


class Charts:
    """Handlers of series and samples over a store."""

    def __init__(self, store: SeriesStore, access: Access) -> None:
        self._store = store
        self._access = access

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        return [Route(SERIES_PATH, self.series), Route(SAMPLES_PATH, self.samples)]

    async def series(self, request: Request) -> Response:
        """Answer the downsampled history of a unit; empty for one that is unknown or has nothing in the span."""
        identity, unit_id = await self._access.member(request), unit_id_of(request)
        query = request.query_params
        parameters.check_names(query, _SERIES, repeatable=frozenset({"measure"}))
        measures = _measures(query)
        start_us, end_us, bucket_us = _span(query)
        buckets = await self._store.series(
            identity.organization_id, unit_id, measures=measures, start_us=start_us, end_us=end_us, bucket_us=bucket_us
        )
        return json_response(_columns(buckets, measures, start_us, bucket_us))

    async def samples(self, request: Request) -> Response:
        """Answer one value per bucket for each of the units that exist in the organization."""
        identity = await self._access.member(request)
        query = request.query_params
        parameters.check_names(query, _SAMPLES, repeatable=frozenset({"unit"}))
        measure, *_ = _measures(query)
        unit_ids = _unit_ids(query)
        start_us, end_us, bucket_us = _span(query)
        if len(unit_ids) * ((end_us - start_us) // bucket_us + 1) > LOOKUPS_MAX:
            raise InvalidRequest(
                f"units times points must be at most {LOOKUPS_MAX}", hint="ask for fewer units at once"
            )
        found = await self._store.samples(
            identity.organization_id, unit_ids, measure=measure, start_us=start_us, end_us=end_us, bucket_us=bucket_us
        )
        return json_response(Samples(start=format_time(start_us), bucket_ms=bucket_us // 1_000, units=found))


def bucket_length_us(span_us: int, points: int) -> int:
    """Give the shortest good bucket length with which a span has at most `points` buckets."""
    wanted_s = -(-span_us // (points * _SECOND_US))
    longest_s = _LENGTHS_S[-1]
    fitting_s = next((length_s for length_s in _LENGTHS_S if length_s >= wanted_s), None)
    return (fitting_s or -(-wanted_s // longest_s) * longest_s) * _SECOND_US


def _span(query: QueryParams) -> tuple[int, int, int]:
    """Give start, end and bucket length, the start moved back to the beginning of its bucket."""
    for name in ("start", "end"):
        if name not in query:
            raise InvalidRequest(f"{name} is needed", hint="an RFC 3339 time with zone")
    start_us, end_us = parameters.span_us(query)
    points = parameters.whole_number(query, "points", default=DEFAULT_POINTS, highest=POINTS_MAX)
    bucket_us = bucket_length_us(end_us - start_us, points)
    start_us -= start_us % bucket_us
    if start_us < _YEAR_1_US:
        raise InvalidRequest("start is too early: its bucket would begin before the year 1", hint="ask for less time")
    return start_us, end_us, bucket_us


def _measures(query: QueryParams) -> list[str]:
    measures = list(dict.fromkeys(query.getlist("measure"))) or [COLUMNS[0]]
    if len(measures) > MEASURES_MAX:
        raise InvalidRequest(f"at most {MEASURES_MAX} measures can be asked for at once")
    for measure in measures:
        named = measure.startswith(METRIC_PREFIX) and 0 < len(measure) - len(METRIC_PREFIX) <= _NAME_MAX
        if measure not in COLUMNS and not named:
            raise InvalidRequest(f"measure must be one of {', '.join(COLUMNS)} or {METRIC_PREFIX}<name>")
    return measures


def _unit_ids(query: QueryParams) -> list[str]:
    unit_ids = list(dict.fromkeys(query.getlist("unit")))
    if not 1 <= len(unit_ids) <= UNITS_MAX or not all(map(is_valid_id, unit_ids)):
        raise InvalidRequest(f"unit must be given 1 to {UNITS_MAX} times, each a unit id")
    return unit_ids


def _columns(buckets: Sequence[Bucket], measures: Sequence[str], start_us: int, bucket_us: int) -> Series:
    columns: dict[str, Values] = {}
    for measure in measures:
        spreads = [bucket.spreads.get(measure) for bucket in buckets]
        columns[measure] = Values(
            low=[None if spread is None else spread.low for spread in spreads],
            high=[None if spread is None else spread.high for spread in spreads],
            mean=[None if spread is None else spread.mean for spread in spreads],
        )
    return Series(
        start=format_time(start_us),
        bucket_ms=bucket_us // 1_000,
        times=[bucket.time_us / 1_000 for bucket in buckets],
        counts=[bucket.count for bucket in buckets],
        measures=columns,
    )
