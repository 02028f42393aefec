"""What counts as a finding in the registry: a change that was taken, a name of others, or one's own that is gone."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import httpx

from sensorcast.verify.probe import Probe
from sensorcast.verify.tenant import NOBODY, Tenant

ACME, GLOBEX = (
    Tenant(name, f"token-{name}", f"scast_{name * 4}_x_y", datetime.now(UTC)) for name in ("acme", "globex")
)


def own(request: httpx.Request) -> httpx.Response:
    """Answer as a server with one organization would, whoever asks; what nobody has is unknown."""
    if NOBODY in str(request.url):
        return httpx.Response(404)
    tenant = ACME if request.headers["Authorization"].endswith("acme") else GLOBEX
    return httpx.Response(200, json={"name": tenant.canary})


async def found(operation: str, respond: object = own) -> set[str]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(respond))  # type: ignore[arg-type]
    probe = Probe(["http://server"], client, [ACME, GLOBEX], random.Random(1))
    await probe.operations[operation](ACME, GLOBEX)
    return {finding.what for finding in probe.findings}


async def test_ones_own_entries_are_no_finding() -> None:
    assert await found("registry") == set()
    assert await found("registry, removal") == set()


async def test_another_answer_than_for_the_unknown_is_found() -> None:
    assert await found("registry of others") == {"what is another's is not answered like what does not exist"}


async def test_an_entry_that_was_changed_or_removed_by_another_is_found() -> None:
    def changed(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"name": "" if "globex" in str(request.url) else ACME.canary})

    assert "it could change an entry of another" in await found("registry of others", changed)
    assert "it could remove an entry of another" in await found("registry, removal", changed)


async def test_an_entry_of_others_in_ones_own_list_is_found() -> None:
    def everybodys(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"sites": [ACME.canary, GLOBEX.canary]})

    assert await found("registry", everybodys) == {"it received a value of globex"}


async def test_a_change_of_ones_own_that_is_not_taken_is_found() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, text=json.dumps({"name": ACME.canary}))

    assert await found("registry", refuse) == {"a change of its own was not taken: 403"}
