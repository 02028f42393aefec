"""Claims about request bodies: bounded, JSON of the right shape, or a clear refusal."""

from __future__ import annotations

import httpx
import pytest

from sensorcast.model import Role
from sensorcast.web.bodies import BODY_MAX_BYTES

from .conftest import Door

PATH = "/api/orgs/acme/keys"

BAD = {
    "too long": (b'{"name":"' + b"x" * BODY_MAX_BYTES + b'"}', {}, 413),
    "no json": (b"{", {}, 400),
    "empty": (b"", {}, 400),
    "not utf-8": (b'{"name":"\xff"}', {}, 400),
    "deep": (b"[" * 5_000, {}, 422),
    "deep and sound": (b"[" * 500 + b"]" * 500, {}, 422),
    "unknown field": (b'{"admin":true}', {}, 422),
    "form": (b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "gzip": (b"{}", {"Content-Encoding": "gzip"}, 415),
}


@pytest.mark.parametrize(("body", "headers", "status"), BAD.values(), ids=BAD.keys())
async def test_a_body_that_is_not_taken(door: Door, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = await _post(door, body, headers)
    assert answer.status_code == status
    assert set(answer.json()["error"]) <= {"code", "message", "hint"}


async def test_a_body_that_is_taken(door: Door) -> None:
    assert (await _post(door, b'{"name":"x"}', {"Content-Type": "application/json; charset=utf-8"})).status_code == 201


async def _post(door: Door, body: bytes, headers: dict[str, str]) -> httpx.Response:
    sent = {"Authorization": f"Bearer {door.token(role=Role.OWNER)}", **headers}
    return await door.client.post(PATH, content=body, headers=sent)
