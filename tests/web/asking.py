"""Asks the web door of a test with any method and role."""

from __future__ import annotations

from typing import Any

import httpx

from sensorcast.model import Role

from .conftest import Door


async def ask(
    door: Door, method: str, path: str, body: Any = None, *, role: Role = Role.ADMIN, org: str = "acme", **query: str
) -> httpx.Response:
    """Send a request as somebody of an organization; `path` goes behind its address."""
    headers = {"Authorization": f"Bearer {door.token(org, role)}"}
    address = path if path.startswith("/api/") else f"/api/orgs/acme{path}"
    return await door.client.request(method, address, json=body, params=query or None, headers=headers)


async def pages(door: Door, path: str, **query: str) -> list[list[dict[str, Any]]]:
    """Give every page of a list."""
    kind, found = path.rsplit("/", 1)[1], []
    while True:
        body = (await ask(door, "GET", path, **query)).json()
        found.append(body[kind])
        if "nextCursor" not in body:
            return found
        query["cursor"] = body["nextCursor"]
