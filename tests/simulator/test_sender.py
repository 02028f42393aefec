"""Claims about delivery, against a real HTTP server: nothing lost, nothing twice, and never faster than asked."""

from __future__ import annotations

import socket

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from sensorcast.simulator.fleet import Measurement
from sensorcast.simulator.sender import BATCH_MAX_READINGS, Refused, Sender

from .ingest_server import IngestServer, ingest_server


class Naps:
    """A sleep that only remembers for how long it was asked to sleep."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken_s.append(seconds)


def _measured(count: int, *, first: int = 0) -> list[Measurement]:
    return [
        Measurement(
            unit_id=f"unit-{index % 7}",
            site_id="harbour",
            device_id="tx-1",
            recorded_at=f"2025-10-01T{index // 3600:02d}:{index // 60 % 60:02d}:{index % 60:02d}.000000Z",
            temperature=4.0,
        )
        for index in range(first, first + count)
    ]


def _trouble(status: int, **headers: str) -> Response:
    return JSONResponse({"error": {"code": "x", "message": "not now"}}, status, headers)


async def _deliver(server: IngestServer, count: int, naps: Naps | None = None) -> Sender:
    async with httpx.AsyncClient() as client:
        sender = Sender(client, server.url, "key", sleep=naps or Naps())
        sender.offer(_measured(count))
        await sender.flush()
    return sender


async def test_everything_offered_is_acknowledged_in_order() -> None:
    async with ingest_server() as server:
        sender = await _deliver(server, 2 * BATCH_MAX_READINGS + 5)
    assert server.requests == 3
    assert sender.ledger.acknowledged == sender.ledger.offered == 2 * BATCH_MAX_READINGS + 5
    assert [reading["recordedAt"] for reading in server.stored] == sorted(str(r["recordedAt"]) for r in server.stored)
    assert sender.waiting == 0


async def test_after_503_the_same_readings_are_sent_again_without_loss_or_duplicates() -> None:
    naps = Naps()
    async with ingest_server() as server:
        server.script = [_trouble(503, **{"Retry-After": "7"}), _trouble(503)]
        sender = await _deliver(server, 10, naps)
    assert len(server.stored) == 10
    assert (sender.ledger.acknowledged, sender.ledger.duplicates, sender.ledger.retries) == (10, 0, 2)
    assert naps.taken_s[0] == 7.0
    assert 0.5 <= naps.taken_s[1] <= 1.0


async def test_a_lost_acknowledgement_makes_duplicates_that_are_counted_but_stored_once() -> None:
    async with ingest_server() as server:
        server.script, server.store_before_script = [_trouble(502)], True
        sender = await _deliver(server, 10)
    assert len(server.stored) == 10
    assert (sender.ledger.acknowledged, sender.ledger.duplicates) == (0, 10)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 507])
async def test_a_transient_answer_is_retried(status: int) -> None:
    async with ingest_server() as server:
        server.script = [_trouble(status, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})]
        assert (await _deliver(server, 3)).ledger.acknowledged == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_permanent_refusal_is_raised_with_the_servers_words_and_loses_nothing(status: int) -> None:
    async with ingest_server() as server, httpx.AsyncClient() as client:
        server.script = [_trouble(status)]
        sender = Sender(client, server.url, "key", sleep=Naps())
        sender.offer(_measured(3))
        with pytest.raises(Refused, match=f"{status}: not now"):
            await sender.flush()
        assert sender.waiting == 3


async def test_an_answer_that_is_not_ours_is_a_refusal() -> None:
    async with ingest_server() as server:
        server.script = [Response("<html>", 200)]
        with pytest.raises(Refused, match="does not answer like sensorcast"):
            await _deliver(server, 1)


async def test_backoff_grows_while_the_server_is_away() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 9:
            raise TimeoutError

    async with httpx.AsyncClient() as client:
        sender = Sender(client, address, "key", sleep=nap)
        sender.offer(_measured(1))
        with pytest.raises(TimeoutError):
            await sender.flush()
    assert naps[0] <= 0.5
    assert 15.0 <= naps[-1] <= 30.0
    assert sender.waiting == 1


async def test_a_full_queue_drops_the_oldest_and_counts_them() -> None:
    async with ingest_server() as server, httpx.AsyncClient() as client:
        sender = Sender(client, server.url, "key", queue_max_readings=5)
        sender.offer(_measured(8))
        assert (sender.waiting, sender.ledger.dropped) == (5, 3)
        await sender.flush()
    assert [reading["recordedAt"] for reading in server.stored] == [m.recorded_at for m in _measured(5, first=3)]


async def test_rejected_readings_are_counted_and_the_last_reason_kept() -> None:
    receipt = {"insertedCount": 2, "rejected": [{"index": 1, "code": "conflict", "message": "other values"}]}
    async with ingest_server() as server:
        server.script = [JSONResponse(receipt)]
        sender = await _deliver(server, 3)
    assert (sender.ledger.acknowledged, sender.ledger.rejected) == (2, 1)
    assert sender.last_rejection == "conflict: other values"


@pytest.mark.parametrize(
    ("url", "key"),
    [("localhost:1", "my-key"), ("http://[::1", "my-key"), ("", "my-key\nmore"), ("", "my-key\xe9")],
)
async def test_what_cannot_be_sent_at_all_is_a_refusal_that_does_not_name_the_key(url: str, key: str) -> None:
    async with ingest_server() as server, httpx.AsyncClient() as client:
        sender = Sender(client, url or server.url, key, sleep=Naps())
        sender.offer(_measured(1))
        with pytest.raises(Refused, match="no address of a server, or the key") as caught:
            await sender.flush()
        assert "my-key" not in caught.value.message
