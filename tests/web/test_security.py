"""Claims about security headers: on every answer, and without a way around them."""

from __future__ import annotations

import pytest

from sensorcast.web.security import PAGE_POLICY

from .conftest import Door

_EVERYWHERE = ["/", "/docs", "/openapi.json", "/static/js/main.js", "/healthz", "/metrics", "/nothing", "/api/stats"]


@pytest.mark.parametrize("path", _EVERYWHERE)
async def test_every_answer_forbids_guessing_framing_and_leaking_addresses(door: Door, path: str) -> None:
    headers = (await door.client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_may_load_only_from_this_server(door: Door, path: str) -> None:
    assert (await door.client.get(path)).headers["content-security-policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert "http" not in PAGE_POLICY


@pytest.mark.parametrize("path", ["/api/stats", "/healthz", "/api/orgs/acme/units"])
async def test_answers_may_load_nothing_and_are_not_kept(door: Door, path: str) -> None:
    headers = (await door.client.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
