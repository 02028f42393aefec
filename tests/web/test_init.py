"""Claims about the door as a whole."""

from __future__ import annotations

import pytest

from .conftest import Door


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"])
async def test_what_needs_no_credential_answers_without_one(door: Door, path: str) -> None:
    assert (await door.client.get(path)).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_the_door_only_reads(door: Door, method: str) -> None:
    for path in ("/", "/api/stats", "/api/orgs/acme/units", "/api/orgs/acme/units/fridge-a/readings"):
        assert (await door.client.request(method, path)).status_code == 405
