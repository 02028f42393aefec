"""Claims about errors: always the one form, whatever went wrong."""

from __future__ import annotations

import pytest

from .conftest import Door


@pytest.mark.parametrize("path", ["/nothing", "/api/orgs", "/static/nothing.js", "/static/../__init__.py", "/static/"])
async def test_an_unknown_address_is_a_json_404(door: Door, path: str) -> None:
    answer = await door.client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/stats", "/static/js/main.js", "/api/orgs/acme/units"])
async def test_a_wrong_method_is_a_json_405_that_names_the_right_ones(door: Door, path: str) -> None:
    answer = await door.client.post(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


async def test_a_store_that_cannot_answer_is_503_with_retry_after(door: Door) -> None:
    await door.store.close()
    answer = await door.get("/api/orgs/acme/units")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_an_unforeseen_error_tells_nothing_of_the_inside(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(door.store, "units", broken)
    answer = await door.get("/api/orgs/acme/units")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "swordfish" not in answer.text
