"""What a registry does not have, over several kinds and organizations."""

from __future__ import annotations

from pathlib import Path

from sensorcast.settings import Settings
from sensorcast.store.missing import missing_in
from sensorcast.store.sqlite import SqliteStore
from tests.contracts.registry import device, unit


async def test_those_that_are_missing_are_told_by_kind_organization_and_id(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    await store.open()
    await store.add_missing([unit("a"), unit("b", "globex"), device("c")])
    asked = [unit("a"), unit("b"), unit("c"), unit("a", "globex"), unit("b", "globex"), device("a"), device("c")]
    missing = await missing_in(store, asked)
    assert set(map(repr, missing)) == set(map(repr, (unit("b"), unit("c"), unit("a", "globex"), device("a"))))
    assert await missing_in(store, []) == []
    await store.close()
