"""Gateways that send readings without pause, and remember what was acknowledged: the ledger of the crash tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from types import TracebackType

import httpx

from .server import Organization, ServerProcess, time_text

READINGS_PER_REQUEST = 5


PATIENT_PAUSE_S = 0.05
PATIENCE_S = 60.0


class Gateway:
    """One thread that posts batches of numbered readings of its own unit until it is told to stop.

    A patient one makes a pause between batches, and sends each again until it is acknowledged; the last one, too.
    """

    def __init__(
        self, organization: Organization, unit_id: str, ledger: Ledger, *, patient: bool = False, url: str = ""
    ) -> None:
        self._address = f"{url or organization.server.url}/api/ingest/readings"
        self._headers = {"X-API-Key": organization.key}
        self._unit_id = unit_id
        self._ledger = ledger
        self._is_patient = patient
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=unit_id)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no further request and wait for the last one to end."""
        self._stop.set()
        self._thread.join(2 * PATIENCE_S)
        assert not self._thread.is_alive(), "a gateway waits for an answer for ever"

    def _run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=PATIENCE_S if self._is_patient else 10) as http:
            while not self._stop.is_set():
                self._send(http)
                if self._is_patient:
                    self._stop.wait(PATIENT_PAUSE_S)

    def _send(self, http: httpx.Client) -> None:
        numbers = self._ledger.take_numbers(READINGS_PER_REQUEST)
        now_us = time.time_ns() // 1000
        readings = [
            {"unitId": self._unit_id, "recordedAt": time_text(now_us + place), "metrics": {"number": number}}
            for place, number in enumerate(numbers)
        ]
        gives_up_s = time.monotonic() + PATIENCE_S
        while not self._post(http, readings, numbers) and self._is_patient and time.monotonic() < gives_up_s:
            time.sleep(PATIENT_PAUSE_S)

    def _post(self, http: httpx.Client, readings: list[dict[str, object]], numbers: range) -> bool:
        try:
            answer = http.post(self._address, json={"readings": readings})
        except httpx.TransportError:
            self._ledger.unanswered += 1
            self._stop.wait(0.02)  # the server is away; no need to spin
            return False
        return self._ledger.record(answer, numbers)


class Ledger:
    """What was sent and what of it was acknowledged, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = 0
        self.acknowledged: dict[str, int] = {}
        """Number of each acknowledged reading, by id."""
        self.refused: list[int] = []
        self.retry_after: list[str | None] = []
        """What each refusal said of when to try again."""
        self.unanswered = 0

    def take_numbers(self, count: int) -> range:
        """Hand out the next numbers."""
        with self._lock:
            self.sent += count
            return range(self.sent - count, self.sent)

    def record(self, answer: httpx.Response, numbers: range) -> bool:
        """Note an answer; tell whether it acknowledges."""
        with self._lock:
            if answer.status_code == 200:
                self.acknowledged |= dict(zip(answer.json()["readingIds"], numbers, strict=True))
            else:
                self.refused.append(answer.status_code)
                self.retry_after.append(answer.headers.get("retry-after"))
        return answer.status_code == 200


class Gateways:
    """Several gateways of one organization on one ledger, as a context manager."""

    def __init__(
        self,
        organization: Organization,
        count: int,
        ledger: Ledger,
        *,
        patient: bool = False,
        url: str = "",
        prefix: str = "",
    ) -> None:
        """See `Gateway`; `url` is that of the server unless given, `prefix` begins the names of the units."""
        self._gateways = [
            Gateway(organization, f"{prefix}unit-{number}", ledger, patient=patient, url=url) for number in range(count)
        ]

    def __enter__(self) -> None:
        for gateway in self._gateways:
            gateway.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for gateway in self._gateways:
            gateway.stop()


def stored_numbers(organization: Organization, *, besides: Collection[str] = ()) -> dict[str, int]:
    """Read back everything the server has of an organization, by its API: the number of each id, once."""
    found: list[tuple[str, int]] = []
    for unit in organization.get("units?limit=100").json()["units"]:
        if unit["unitId"] in besides:
            continue
        cursor = ""
        while cursor is not None:
            page = organization.get(f"units/{unit['unitId']}/readings?limit=1000{cursor}").json()
            found += [(item["id"], int(item["metrics"]["number"])) for item in page["readings"]]
            cursor = f"&cursor={page['nextCursor']}" if page.get("nextCursor") else None
    assert len(found) == len(dict(found)), "a reading is stored twice"
    return dict(found)


def assert_nothing_lost(
    server: ServerProcess, organization: Organization, ledger: Ledger, *, besides: Collection[str] = ()
) -> None:
    """Compare the ledger with the store: nothing lost, nothing that nobody sent, nothing twice. Prints the sums."""
    stored = stored_numbers(organization, besides=besides)
    lost = ledger.acknowledged.items() - stored.items()
    phantom = [number for number in stored.values() if not 0 <= number < ledger.sent]
    twice = len(stored) - len(set(stored.values()))
    print(
        f"ledger: sent {ledger.sent}, acknowledged {len(ledger.acknowledged)}, stored {len(stored)}, "
        f"lost {len(lost)}, phantom {len(phantom)}, duplicate {twice}, data {server.data.name}"
    )
    assert (lost, phantom, twice) == (set(), [], 0)
