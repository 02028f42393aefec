"""Sends readings into a running sensorcast as gateways do: once a second, for each organization, one POST.

Posts fall halfway between two flushes, so that each flush carries exactly one reading of each unit.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from bench.servers import RunningServer, Workload

FIRST_FLUSH_DEADLINE_S = 10.0
REQUEST_READINGS = 1_000
"""Readings of one request: what a busy gateway sends, well within the largest body."""


@contextlib.contextmanager
def feeding(server: RunningServer, workload: Workload, api_keys: list[str]) -> Iterator[None]:
    """Feed from a thread for as long as the context lasts."""
    over = threading.Event()
    thread = threading.Thread(target=_feed, args=(server, workload, api_keys, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _feed(server: RunningServer, workload: Workload, api_keys: list[str], over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    _post_all(connection, workload, api_keys)
    deadline_s = time.time() + FIRST_FLUSH_DEADLINE_S
    while not server.flush_lines():
        if time.time() > deadline_s:
            raise RuntimeError("the first readings were not flushed")
        time.sleep(0.01)
    due_s = time.time() + 0.5
    while not over.wait(max(0.0, due_s - time.time())):
        _post_all(connection, workload, api_keys)
        due_s += 1
    connection.close()


def _post_all(connection: http.client.HTTPConnection, workload: Workload, api_keys: list[str]) -> None:
    for api_key in api_keys:
        recorded_at = datetime.now(UTC).isoformat(timespec="microseconds")
        for first in range(0, workload.units, REQUEST_READINGS):
            units = range(first, min(first + REQUEST_READINGS, workload.units))
            _post(connection, api_key, [_reading(unit, recorded_at) for unit in units])


def _post(connection: http.client.HTTPConnection, api_key: str, readings: list[dict[str, object]]) -> None:
    headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
    connection.request("POST", "/api/ingest/readings", msgspec.json.encode({"readings": readings}), headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"ingestion answered {answer.status}: {body[:200]!r}")


def _reading(unit: int, recorded_at: str) -> dict[str, object]:
    return {
        "unitId": f"unit-{unit}",
        "deviceId": "probe-1",
        "temperature": 4.25,
        "humidity": 61.5,
        "battery": 88,
        "signalStrength": -71,
        "recordedAt": recorded_at,
    }
