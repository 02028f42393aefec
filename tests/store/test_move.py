"""A move takes everything, once, however often it is interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sensorcast.errors import ConfigurationError
from sensorcast.model import ApiKey, Reading, Revocation, RevocationKind, Unit
from sensorcast.settings import Settings
from sensorcast.store import move as move_module
from sensorcast.store.move import Moved, move
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite import SqliteStore
from sensorcast.store.sqlite_source import SqliteSource
from tests.contracts.registry import device, organization, site, unit
from tests.contracts.store import FULL, history
from tests.readings import SECOND_US, T0_US, reading, series
from tests.support.postgres import PostgresServer

KEY = ApiKey(key_id="k1", organization_id="acme", name="gateway", secret_sha256="ab" * 32, created_at_us=T0_US)
EVERYTHING = [*series(40), *series(40, "u2"), *series(40, org="other"), msgspec.structs.replace(FULL, unit_id="u3")]

NAMED = organization(name="Acme")
ENTRIES = [
    site(),
    *(unit(f"u{number}", site_id="s1") for number in range(8)),
    unit("u1", "other"),
    device(unit_id="u1"),
]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "readings.db", Settings())
    await store.open()
    await store.append(EVERYTHING)
    await store.revoke(Revocation(organization_id="acme", kind=RevocationKind.USER, subject="ada", revoked_at_us=1))
    await store.put_entry(NAMED)
    await store.add_missing(ENTRIES)
    await store.create_key(KEY)
    await store.close()
    return tmp_path / "readings.db"


@pytest.fixture
async def target(postgres: PostgresServer) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(await postgres.new_database(), Settings())
    await store.open()
    yield store
    await store.close()


async def appended(path: Path, new: Reading) -> None:
    store = SqliteStore(path, Settings())
    await store.open()
    await store.append([new])
    await store.close()


async def moved(path: Path, target: PostgresStore, *, stop_after: int | None = None) -> Moved:
    """Move, or be interrupted when so many readings are done."""
    source = SqliteSource(path, 1_000)

    def on_page(done: int, _total: int) -> None:
        if stop_after is not None and done >= stop_after:
            raise InterruptedError

    try:
        return await move(source, target, on_page=on_page)
    finally:
        source.close()


async def everything(store: PostgresStore) -> list[Reading]:
    units = [("acme", "u1"), ("acme", "u2"), ("other", "u1"), ("acme", "u3")]
    return [found for org, unit_id in units for found in (await history(store, unit_id, org=org))[::-1]]


async def test_everything_arrives_as_it_was(path: Path, target: PostgresStore) -> None:
    assert await moved(path, target) == Moved(stored=len(EVERYTHING), keys=1, entries=len(ENTRIES) + 2)
    assert await everything(target) == EVERYTHING
    assert await target.find_key("k1") == KEY
    assert [each.subject for each in await target.list_revocations("acme")] == ["ada"]


async def test_an_interrupted_move_goes_on_where_it_was(
    path: Path, target: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_module, "PAGE_READINGS", 7)
    for stop_after in (7, 50, 90):
        with pytest.raises(InterruptedError):
            await moved(path, target, stop_after=stop_after)
    last = await moved(path, target)
    assert (last.before, last.stored, last.duplicates) == (91, len(EVERYTHING) - 91, 0)
    assert await everything(target) == EVERYTHING


async def test_a_reading_that_is_there_with_other_values_is_counted_and_left(path: Path, target: PostgresStore) -> None:
    other = reading(temperature=9.0)
    await target.append([other, series(2)[1]])
    found = await moved(path, target)
    assert (found.conflicts, found.duplicates, found.stored) == (1, 1, len(EVERYTHING) - 2)
    assert (await history(target))[-1] == other


async def test_the_registry_arrives_and_what_the_target_says_stays(
    path: Path, target: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_module, "_PAGE_ENTRIES", 3)
    mine = unit("u1", name="mine")
    await target.put_entry(mine)
    assert (await moved(path, target)).entries == len(ENTRIES) + 2 - 2
    assert await target.list_organizations(after=None, limit=9) == [organization(), organization("other")]
    assert await target.find_entry(Unit, "acme", "u1") == mine
    for entry in (ENTRIES[0], ENTRIES[3], *ENTRIES[-2:]):
        assert await target.find_entry(type(entry), entry.organization_id, entry.entry_id) == entry


async def test_a_registry_too_large_for_the_target_is_refused_by_its_setting(
    path: Path, postgres: PostgresServer
) -> None:
    small = PostgresStore(await postgres.new_database(), Settings(registry_units_max=7))
    await small.open()
    with pytest.raises(ConfigurationError, match="registry_units_max"):
        await moved(path, small)
    await small.close()


async def test_a_move_taken_up_again_revokes_no_key_that_was_made_after_everything_was_revoked(
    path: Path, target: PostgresStore
) -> None:
    store = SqliteStore(path, Settings())
    await store.open()
    await store.revoke(
        Revocation(organization_id="acme", kind=RevocationKind.ORGANIZATION, subject="", revoked_at_us=T0_US)
    )
    new = msgspec.structs.replace(KEY, key_id="k2", created_at_us=T0_US + 1)
    await store.create_key(new)
    await store.close()
    await moved(path, target)
    await moved(path, target)
    assert await target.find_key("k2") == new
    assert [each.kind for each in await target.list_revocations("acme")] == [RevocationKind.ORGANIZATION]


@pytest.mark.parametrize("stop_after", [50, len(EVERYTHING)])
async def test_readings_that_came_in_between_two_runs_are_moved_too(
    path: Path, target: PostgresStore, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    monkeypatch.setattr(move_module, "PAGE_READINGS", 7)
    with pytest.raises(InterruptedError):
        await moved(path, target, stop_after=stop_after)
    late = reading("u1", 7 * 86_400 * SECOND_US)
    await appended(path, late)
    assert (await moved(path, target)).stored > 0
    assert (await history(target))[0] == late
    assert len(await everything(target)) == len(EVERYTHING) + 1


async def test_a_key_that_was_revoked_in_between_two_runs_is_revoked_at_the_target_too(
    path: Path, target: PostgresStore
) -> None:
    await moved(path, target)
    store = SqliteStore(path, Settings())
    await store.open()
    assert await store.revoke_key("acme", "k1", now_us=T0_US + 5)
    await store.close()
    await moved(path, target)
    found = await target.find_key("k1")
    assert found is not None
    assert found.revoked_at_us == T0_US + 5
