"""Every id can be asked for, also `.` and `..`."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.web.dots import DotIds

from .asking import ask

SPAN = "start=2025-01-01T00:00:00Z&end=2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/units/~..", "/units/.."),
        ("/units/~./latest", "/units/./latest"),
        ("/orgs/~../units/~./readings", "/orgs/../units/./readings"),
        ("/units/~...", "/units/~..."),
        ("/units/~.x", "/units/~.x"),
        ("/units/~x", "/units/~x"),
        ("/units/x~.", "/units/x~."),
        ("/units/~~.", "/units/~~."),
    ],
)
async def test_only_what_no_path_can_hold_is_written_otherwise(path: str, seen: str) -> None:
    paths: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])

    await DotIds(app)({"type": "http", "path": path}, None, None)  # type: ignore[arg-type]
    assert paths == [seen]


@pytest.mark.parametrize("unit_id", [".", ".."])
async def test_a_unit_of_dots_is_found(door, unit_id: str) -> None:
    await door.store_readings(unit_id, [1, 2])
    await door.store_readings("other", [1])
    answer = await door.get(f"/api/orgs/acme/units/~{unit_id}/latest")
    assert (answer.status_code, answer.json()["unitId"]) == (200, unit_id)
    assert len((await door.get(f"/api/orgs/acme/units/~{unit_id}/readings")).json()["readings"]) == 2


@pytest.mark.parametrize("entry_id", [".", ".."])
@pytest.mark.parametrize("kind", ["sites", "units", "devices"])
async def test_an_entry_of_dots_is_put_shown_and_removed(door, kind: str, entry_id: str) -> None:
    path = f"/{kind}/~{entry_id}"
    made = await ask(door, "PUT", path, {"name": "dotted"})
    assert (made.status_code, made.json()[f"{kind[:-1]}Id"]) == (201, entry_id)
    assert (await ask(door, "GET", path)).json() == made.json()
    assert (await ask(door, "DELETE", path)).status_code == 204
    assert (await ask(door, "GET", path)).status_code == 404


@pytest.mark.parametrize("unit_id", [".", ".."])
@pytest.mark.parametrize("what", ["series", "readings.csv", "readings.ndjson"])
async def test_the_history_of_a_unit_of_dots_is_found(door, unit_id: str, what: str) -> None:
    await door.store_readings(unit_id, [1, 2])
    answer = await door.get(f"/api/orgs/acme/units/~{unit_id}/{what}?{SPAN}")
    assert answer.status_code == 200, answer.text
    assert answer.text
