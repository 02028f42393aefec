"""Every id can be asked for, also `.` and `..`."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.web.dots import DotIds


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
