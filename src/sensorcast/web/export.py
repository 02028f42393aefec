"""A unit's history as CSV or NDJSON, streamed page by page.

The invariant: memory does not grow with the length of the history, and a cell never starts with a character that a
spreadsheet would take for a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sensorcast.model import Reading, format_time
from sensorcast.store import ReadingPage, ReadingStore
from sensorcast.stream.outgoing import unit_reading
from sensorcast.web import parameters
from sensorcast.web.access import Access
from sensorcast.web.queries import READINGS_PATH, unit_id_of

EXPORT_PATH: Final = READINGS_PATH + ".csv"
NDJSON_PATH: Final = READINGS_PATH + ".ndjson"
HEADER: Final = (
    *("recordedAt", "unitId", "deviceId", "temperature", "humidity", "battery", "signalStrength"),
    *("metrics", "source", "id", "receivedAt"),
)
_PAGE_READINGS: Final = 2_000
_SPAN: Final = frozenset({"start", "end"})
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_ENCODER: Final = msgspec.json.Encoder(order="sorted")

_EncodePage = Callable[[Sequence[Reading]], bytes]


class Export:
    """The handler of exports over a store."""

    def __init__(self, store: ReadingStore, access: Access) -> None:
        self._store = store
        self._access = access

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        return [Route(EXPORT_PATH, self.csv), Route(NDJSON_PATH, self.ndjson)]

    async def csv(self, request: Request) -> Response:
        """Answer every reading of a unit within a span, newest first, as CSV."""
        return await self._answer(request, "csv", "text/csv", csv_lines([HEADER]).encode(), _csv_page)

    async def ndjson(self, request: Request) -> Response:
        """Answer every reading of a unit within a span, newest first, a JSON object a line."""
        return await self._answer(request, "ndjson", "application/x-ndjson", b"", _ndjson_page)

    async def _answer(
        self, request: Request, extension: str, media_type: str, head: bytes, encode: _EncodePage
    ) -> Response:
        identity, unit_id = await self._access.member(request), unit_id_of(request)
        parameters.check_names(request.query_params, _SPAN)
        span_us = parameters.span_us(request.query_params)
        # The first page is read before the answer starts, so that trouble with the store is still an error answer.
        first = await self._page(identity.organization_id, unit_id, span_us, None)
        return StreamingResponse(
            self._pages(first, identity.organization_id, unit_id, span_us, head, encode),
            media_type=media_type,
            headers={"Content-Disposition": f'attachment; filename="{unit_id.replace(":", "_")}.{extension}"'},
        )

    async def _pages(
        self,
        page: ReadingPage,
        organization_id: str,
        unit_id: str,
        span_us: tuple[int, int],
        head: bytes,
        encode: _EncodePage,
    ) -> AsyncIterator[bytes]:
        yield head
        while True:
            yield encode(page.readings)
            if page.next_cursor is None:
                return
            page = await self._page(organization_id, unit_id, span_us, page.next_cursor)

    async def _page(
        self, organization_id: str, unit_id: str, span_us: tuple[int, int], cursor: str | None
    ) -> ReadingPage:
        return await self._store.readings(
            organization_id, unit_id, start_us=span_us[0], end_us=span_us[1], limit=_PAGE_READINGS, cursor=cursor
        )


def _csv_page(readings: Sequence[Reading]) -> bytes:
    return csv_lines([_row(reading) for reading in readings]).encode()


def _ndjson_page(readings: Sequence[Reading]) -> bytes:
    return _ENCODER.encode_lines(map(unit_reading, readings))


def csv_lines(rows: Sequence[Sequence[object]]) -> str:
    """Give rows as CSV (RFC 4180); text that looks like a formula gets an apostrophe in front."""
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _row(reading: Reading) -> tuple[object, ...]:
    return (
        format_time(reading.recorded_at_us),
        reading.unit_id,
        reading.device_id,
        reading.temperature,
        reading.humidity,
        reading.battery,
        reading.signal_strength,
        _ENCODER.encode(reading.metrics).decode() if reading.metrics else None,
        reading.source,
        reading.id,
        format_time(reading.received_at_us),
    )
