"""What counts as a finding: a value of others, an answer that tells them apart, or nothing of one's own."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import httpx

from sensorcast.verify.probe import Probe
from sensorcast.verify.tenant import Tenant

ACME, GLOBEX = (
    Tenant(name, f"token-{name}", f"scast_{name * 4}_x_y", datetime.now(UTC)) for name in ("acme", "globex")
)


def probe(answer: httpx.Response, unknown: httpx.Response | None = None) -> Probe:
    """A probe of a server that gives one answer, or another one for what nobody has."""

    def respond(request: httpx.Request) -> httpx.Response:
        return unknown if unknown is not None and "nobody" in str(request.url) else answer

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    return Probe(["http://server"], client, [ACME, GLOBEX], random.Random(1))


async def found(one: Probe, operation: str) -> set[str]:
    await one.operations[operation](ACME, GLOBEX)
    return {finding.what for finding in one.findings}


async def test_a_value_of_others_is_found_wherever_it_stands() -> None:
    for secret in GLOBEX.secrets:
        text = f"x{secret.decode()}x"
        assert "it received a value of globex" in await found(probe(httpx.Response(200, text=text)), "query")
        in_header = httpx.Response(200, headers={"x-any": text})
        assert "it received a value of globex" in await found(probe(in_header), "query")


async def test_another_answer_than_for_the_unknown_is_found() -> None:
    for theirs in (httpx.Response(403, text="same"), httpx.Response(404, text="other")):
        assert await found(probe(theirs, httpx.Response(404, text="same")), "query of others")


async def test_equal_answers_are_no_finding() -> None:
    answer = httpx.Response(404, text="unknown, or not yours")
    assert await found(probe(answer, answer), "query of others") == set()


async def test_a_surface_that_does_not_work_is_found() -> None:
    assert await found(probe(httpx.Response(500)), "query") == {"it was not answered: 500"}
    assert await found(probe(httpx.Response(500)), "ingest") == {"a reading of its own was not taken: 500"}
