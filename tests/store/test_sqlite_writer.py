"""Group commit, and what the writer says and does when the database cannot be written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from sensorcast.errors import StorageFull, Unavailable
from sensorcast.metrics import REGISTRY
from sensorcast.model import Verdict
from sensorcast.settings import Settings
from sensorcast.store.sqlite_writer import SqliteWriter
from tests.readings import reading, series
from tests.support.damage import damage

STORED = Verdict.STORED
BUSY_TIMEOUT_MS = 150


class FaultyDisk(apsw.VFS):
    """The real file system, which counts the syncs of the log and can be told to fail them."""

    def __init__(self) -> None:
        super().__init__("faulty", "unix", makedefault=True)
        self.log_syncs = 0
        self.fails = False

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        return _FaultyFile(self, name, flags)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._is_log:
            if self._disk.fails:
                raise apsw.IOError("injected")
            self._disk.log_syncs += 1
        super().xSync(flags)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[SqliteWriter]:
    writer = SqliteWriter(path, Settings(store_busy_timeout_ms=BUSY_TIMEOUT_MS))
    await writer.start()
    yield writer
    await writer.close()


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.unregister()


@pytest.fixture
def other(writer: SqliteWriter, path: Path) -> Iterator[apsw.Connection]:
    """Another process, as far as SQLite can tell."""
    connection = apsw.Connection(str(path))
    yield connection
    connection.close()


def commits() -> float:
    return REGISTRY.get_sample_value("sensorcast_store_commit_readings_count") or 0.0


def rows(path: Path) -> int:
    with apsw.Connection(str(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM readings").get)


@pytest.mark.real_time
async def test_appends_that_wait_share_one_commit_and_one_sync(disk: FaultyDisk, path: Path) -> None:
    writer = SqliteWriter(path, Settings(store_busy_timeout_ms=60_000))
    await writer.start()
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    first = writer.append([reading("first")])
    await asyncio.sleep(0)
    while not writer._queue._jobs.empty():
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # so that the writer, which has the first one, waits for the lock with that one alone
    before, syncs = commits(), disk.log_syncs
    waiting = [writer.append([item]) for item in series(50)]
    blocker.execute("ROLLBACK")
    assert await asyncio.gather(first, *waiting) == [[STORED]] * 51
    assert (commits() - before, disk.log_syncs - syncs) == (2, 2)
    blocker.close()
    await writer.close()


async def test_a_failed_sync_is_never_acknowledged_and_heals(disk: FaultyDisk, path: Path) -> None:
    writer = SqliteWriter(path, Settings())
    await writer.start()
    disk.fails = True
    with pytest.raises(Unavailable, match="disk of the database reports an error"):
        await writer.append([reading()])
    assert writer.failure == "the disk of the database reports an error"
    disk.fails = False
    assert await writer.append([reading("u2")]) == [STORED]
    assert writer.failure is None
    await writer.close()


async def test_a_lock_held_too_long_is_unavailable_then_heals(writer: SqliteWriter, other: apsw.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked by another process") as caught:
        await writer.append([reading()])
    assert caught.value.retry_after_s == 1
    assert writer.failure == "the database is locked by another process"
    other.execute("ROLLBACK")
    assert await writer.append([reading()]) == [STORED]
    assert writer.failure is None


async def test_a_lock_is_waited_for_and_never_blocks_the_event_loop(path: Path) -> None:
    writer, other = SqliteWriter(path, Settings(store_busy_timeout_ms=60_000)), apsw.Connection(str(path))
    await writer.start()
    other.execute("BEGIN IMMEDIATE")
    waiting = writer.append([reading()])
    for _ in range(20):  # a loop that waited for the lock would wait until the append has failed
        await asyncio.sleep(0.005)
        assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    assert await waiting == [STORED]
    await writer.close()


async def test_a_full_disk_is_storage_full_then_heals(writer: SqliteWriter, path: Path) -> None:
    pages = await writer.change(lambda connection: connection.pragma("page_count"))
    await writer.change(lambda connection: connection.pragma("max_page_count", pages + 2))
    with pytest.raises(StorageFull) as caught:
        await writer.append(series(2_000))
    assert caught.value.retry_after_s == 5
    assert writer.failure == "the disk of the database is full"
    await writer.change(lambda connection: connection.pragma("max_page_count", 1_000_000))
    assert await writer.append(series(2_000)) == [STORED] * 2_000
    assert (writer.failure, rows(path)) == (None, 2_000)


async def test_what_still_fits_is_stored_beside_what_does_not(
    writer: SqliteWriter, other: apsw.Connection, path: Path
) -> None:
    pages = await writer.change(lambda connection: connection.pragma("page_count"))
    await writer.change(lambda connection: connection.pragma("max_page_count", pages + 2))
    other.execute("BEGIN IMMEDIATE")
    waiting = [writer.append([reading("small")]), writer.append(series(2_000)), writer.append([reading("tiny")])]
    other.execute("ROLLBACK")
    small, large, tiny = await asyncio.gather(*waiting, return_exceptions=True)
    assert (small, tiny) == ([STORED], [STORED])
    assert isinstance(large, StorageFull)
    assert rows(path) == 2


async def test_a_damaged_database_is_unavailable(path: Path) -> None:
    writer = SqliteWriter(path, Settings())
    await writer.start()
    await writer.append(series(500))
    await writer.close()
    damage(path)
    again = SqliteWriter(path, Settings())
    await again.start()
    with pytest.raises(Unavailable, match="damaged"):
        await again.append([reading("u2")])
    assert again.failure == "the database file is damaged"
    await again.close()


async def test_a_removed_database_is_never_written_to(writer: SqliteWriter, path: Path) -> None:
    await writer.append([reading()])
    path.unlink()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await writer.append([reading("u2")])
    assert not path.exists()


async def test_units_of_a_rolled_back_append_are_made_again(writer: SqliteWriter, path: Path) -> None:
    with pytest.raises(ValueError, match="fromhex"):
        await writer.append([reading("new unit"), reading(given_id="not a uuid")])
    assert await writer.append([reading("new unit")]) == [STORED]
    assert rows(path) == 1


async def test_a_change_gives_its_result_after_the_commit(writer: SqliteWriter, other: apsw.Connection) -> None:
    assert await writer.change(lambda connection: connection.pragma("user_version", 41)) is None
    assert other.pragma("user_version") == 41


async def test_a_failing_change_is_undone(writer: SqliteWriter, other: apsw.Connection) -> None:
    def fail(connection: apsw.Connection) -> None:
        connection.pragma("user_version", 41)
        raise ValueError("no")

    version = other.pragma("user_version")
    with pytest.raises(ValueError, match="no"):
        await writer.change(fail)
    assert other.pragma("user_version") == version
    assert writer.failure is None


async def test_the_log_is_copied_into_the_database_when_it_is_quiet(writer: SqliteWriter, path: Path) -> None:
    await writer.append(series(1_000))
    size = path.stat().st_size
    deadline_s = time.monotonic() + 30
    while path.stat().st_size == size:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)


async def test_the_log_is_copied_while_it_is_busy_too(writer: SqliteWriter, path: Path) -> None:
    size = path.stat().st_size
    for number in range(300):
        await writer.append([reading(f"unit-{number}-{unit}") for unit in range(100)])
        if path.stat().st_size > size:
            break
    assert path.stat().st_size > size
    assert path.with_name("readings.db-wal").stat().st_size < 64 * 1024 * 1024


async def test_closing_leaves_no_log_behind(path: Path) -> None:
    writer = SqliteWriter(path, Settings())
    await writer.start()
    await writer.append(series(10))
    await writer.close()
    await writer.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["readings.db"]
    with pytest.raises(Unavailable, match="closed"):
        writer.append([reading()])
