"""Claims about exports: complete, in the usual form, and harmless in a spreadsheet."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from sensorcast.store import ReadingPage
from sensorcast.store.sqlite import SqliteStore
from sensorcast.web.export import HEADER, csv_lines

from .conftest import Door

_PATH = "/api/orgs/acme/units/fridge-a/readings.csv"


async def test_an_export_holds_every_reading_of_the_span_newest_first(door: Door) -> None:
    await door.store_readings("fridge-a", range(5_000))
    answer = await door.get(_PATH, end="2025-10-09T08:53:20Z")
    header, *rows = csv.reader(answer.text.splitlines())
    assert tuple(header) == HEADER
    assert len(rows) == 4_999
    times = [row[0] for row in rows]
    assert times == sorted(set(times), reverse=True)
    assert rows[0][1:4] == ["fridge-a", "", "4.5"]


@pytest.mark.parametrize("extension", ["csv", "ndjson"])
async def test_an_export_leaves_page_by_page_and_is_never_whole_in_memory(
    door: Door, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    await door.store_readings("fridge-a", range(9_000))
    pages, read = 0, SqliteStore.readings
    sent: list[tuple[int, int]] = []

    async def counted(*args: Any, **options: Any) -> ReadingPage:
        nonlocal pages
        pages += 1
        return await read(*args, **options)

    async def send(event: MutableMapping[str, Any]) -> None:
        if event.get("body"):
            sent.append((pages, len(event["body"])))

    async def receive() -> MutableMapping[str, Any]:
        return await asyncio.Future()

    monkeypatch.setattr(SqliteStore, "readings", counted)
    request = door.client.build_request("GET", _PATH.replace(".csv", f".{extension}"))
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "path": request.url.path, "raw_path": request.url.raw_path, "query_string": b"", "root_path": "",
        "scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {door.token()}".encode())],
    }  # fmt: skip
    transport = door.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    await transport.app(scope, receive, send)
    asked_before_the_first_part, _ = sent[0]
    assert (asked_before_the_first_part, pages > 3) == (1, True)
    sizes = [size for _, size in sent]
    assert max(sizes) < sum(sizes) / 3


async def test_an_export_is_a_file_to_keep(door: Door) -> None:
    headers = (await door.get(_PATH)).headers
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert headers["content-disposition"] == 'attachment; filename="fridge-a.csv"'


async def test_trouble_with_the_store_is_still_an_error_answer(door: Door) -> None:
    await door.store.close()
    assert (await door.get(_PATH)).status_code == 503


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_text_that_looks_like_a_formula_is_made_harmless(start: str) -> None:
    assert next(csv.reader([csv_lines([[f"{start}cmd"]])])) == [f"'{start}cmd"]


def test_numbers_stay_numbers() -> None:
    assert csv_lines([[-4.5, None, 'a "quoted", text']]) == '-4.5,,"a ""quoted"", text"\r\n'


async def test_an_export_as_ndjson_holds_a_reading_a_line(door: Door) -> None:
    await door.store_readings("fridge-a", range(5_000))
    answer = await door.get(_PATH.replace(".csv", ".ndjson"))
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len({line["id"] for line in lines}) == 5_000
    assert lines[0] == (await door.get("/api/orgs/acme/units/fridge-a/latest")).json()
