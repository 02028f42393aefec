"""A store that says how its statements are run keeps credentials and the registry; the contracts say how."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from sensorcast.model import Organization, Revocation, RevocationKind, Unit
from sensorcast.settings import Settings
from sensorcast.store.records import Records
from sensorcast.store.sqlite import SqliteStore
from sensorcast.store.sqlite_statements import run
from sensorcast.store.statements import T, Work
from tests.contracts.credentials import key
from tests.contracts.registry import ids, unit
from tests.readings import T0_US


class TwoConnections(Records):
    """What reads has a connection that refuses to write."""

    def __init__(self, path: Path) -> None:
        super().__init__(Settings())
        self.reading, self.writing = apsw.Connection(str(path)), apsw.Connection(str(path))
        self.reading.execute("PRAGMA query_only = ON")

    async def _ask(self, work: Work[T]) -> T:
        return run(work, self.reading)

    async def _transact(self, work: Work[T]) -> T:
        with self.writing:
            return run(work, self.writing)


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[TwoConnections]:
    path = tmp_path / "readings.db"
    store = SqliteStore(path, Settings())
    await store.open()
    await store.close()
    records = TwoConnections(path)
    yield records
    records.reading.close()
    records.writing.close()


async def test_credentials_are_changed_in_transactions_and_looked_up_without(records: TwoConnections) -> None:
    await records.create_key(key())
    await records.note_key_uses({"k1": T0_US})
    assert await records.revoke_key("acme", "k1", now_us=T0_US)
    await records.revoke(Revocation(organization_id="acme", kind=RevocationKind.USER, subject="u", revoked_at_us=T0_US))
    assert await records.list_keys("acme") == [await records.find_key("k1")]
    assert await records.list_revocations("acme") == await records.revocations_since(0)


async def test_entries_are_changed_in_transactions_and_looked_up_without(records: TwoConnections) -> None:
    assert await records.put_entry(unit("u1", site_id="s1"))
    assert await records.add_missing([unit("u1"), unit("u2")]) == 1
    assert ids(await records.list_entries(Unit, "acme", after=None, limit=9, site_id="s1")) == ["u1"]
    assert await records.remove_entry(Unit, "acme", "u2")
    assert await records.find_entry(Unit, "acme", "u2") is None
    assert ids(await records.list_organizations(after=None, limit=9)) == ["acme"]
    assert await records.find_entry(Organization, "acme", "acme")
    assert await records.registry_changes(0) == (2, ["acme"])
