"""Sends readings into a running server many times a second, over connections of its own for each organization."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec


@contextlib.contextmanager
def pressing(port: int, api_keys: Sequence[str], *, units: int, interval_s: float) -> Iterator[None]:
    """Post one reading of each unit of each organization every `interval_s`, for as long as the context lasts."""
    over = threading.Event()
    threads = [threading.Thread(target=_feed, args=(port, key, units, interval_s, over)) for key in api_keys]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _feed(port: int, api_key: str, units: int, interval_s: float, over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
    due_s = time.monotonic()
    while not over.wait(max(0.0, due_s - time.monotonic())):
        recorded_at = datetime.now(UTC).isoformat(timespec="microseconds")
        readings = [{"unitId": f"unit-{n}", "temperature": 4.25, "recordedAt": recorded_at} for n in range(units)]
        connection.request("POST", "/api/ingest/readings", msgspec.json.encode({"readings": readings}), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"ingestion answered {answer.status}: {body[:200]!r}")
        due_s = max(due_s + interval_s, time.monotonic() - interval_s)
    connection.close()
