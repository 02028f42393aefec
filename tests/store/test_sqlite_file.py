"""The database file: private, durable, migrated once, and never another program's."""

from __future__ import annotations

import multiprocessing
import stat
import uuid
from pathlib import Path

import apsw
import pytest

from sensorcast.errors import ConfigurationError, SensorcastError, StorageFull, Unavailable
from sensorcast.model import Reading
from sensorcast.settings import Settings
from sensorcast.store import sqlite_file
from sensorcast.store.sqlite import SqliteStore
from sensorcast.store.sqlite_file import open_failure, open_reader, open_writer, translate
from tests.contracts import upgrade

NEWEST = max(sqlite_file._migrations())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "readings.db"


def test_a_new_database_is_in_wal_mode_and_fully_synchronous(path: Path) -> None:
    connection = open_writer(path, 100)
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("user_version") == NEWEST
    assert connection.pragma("application_id") != 0
    connection.close()


def test_folder_and_files_are_for_their_owner_only(path: Path) -> None:
    connection = open_writer(path, 100)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    connection.close()
    assert modes == {"readings.db": 0o600, "readings.db-wal": 0o600, "readings.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_opening_again_changes_nothing(path: Path) -> None:
    open_writer(path, 100).close()
    before = path.read_bytes()
    open_writer(path, 100).close()
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with apsw.Connection(str(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another program"):
        open_writer(path, 100)
    assert path.read_bytes() == before


def test_a_database_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    with apsw.Connection(str(path)) as connection:
        connection.execute(sqlite_file._migrations()[1])
        connection.pragma("application_id", sqlite_file._APPLICATION_ID)
        connection.pragma("user_version", 1)
    connection.close()
    migrated = open_writer(path, 100)
    assert migrated.execute("SELECT count(*) FROM pragma_table_info('readings') WHERE name = 'site_id'").get == 1
    migrated.close()


_OF_VERSION_3 = (
    "INSERT INTO organizations VALUES (1, 'acme')",
    "INSERT INTO units VALUES (1, 1, 'u1')",
    "INSERT INTO api_keys (key_id, organization_id, name, secret_sha256, created_at_us, scopes) VALUES "
    "('k1', 'acme', 'gateway', :secret, :recorded_at_us, 'ingest read'), "
    "('k2', 'keyed', '', :secret, :recorded_at_us, 'ingest')",
    "INSERT INTO revocations (organization_id, kind, subject, revoked_at_us) VALUES ('acme', 'user', 'ada', 1)",
)
_READING_OF_VERSION_3 = (
    "INSERT INTO readings (unit_no, recorded_at_us, device_id, organization_no, id, received_at_us, temperature, "
    "metrics, source, site_id) VALUES (1, ?, ?, 1, ?, ?, ?, ?, ?, ?)"
)


def _row_of_version_3(item: Reading) -> tuple[object, ...]:
    metrics = None if item.metrics is None else '{"co2":400.0}'
    values = (item.received_at_us, item.temperature, metrics, item.source, item.site_id)
    return (item.recorded_at_us, item.device_id or "", uuid.UUID(item.id).bytes, *values)


async def test_a_database_of_the_version_before_the_registry_keeps_everything_and_works(path: Path) -> None:
    path.parent.mkdir()
    values = {"recorded_at_us": upgrade.KEPT.recorded_at_us, "secret": upgrade.KEY.secret_sha256}
    with apsw.Connection(str(path)) as connection:
        for number in (1, 2, 3):
            connection.execute(sqlite_file._migrations()[number])
        for statement in _OF_VERSION_3:
            connection.execute(statement, values)
        connection.executemany(_READING_OF_VERSION_3, map(_row_of_version_3, (upgrade.KEPT, *upgrade.GIVEN)))
        connection.pragma("application_id", sqlite_file._APPLICATION_ID)
        connection.pragma("user_version", 3)
    connection.close()
    store = SqliteStore(path, Settings())
    await store.open()
    await upgrade.check_upgraded(store)
    await store.close()
    with apsw.Connection(str(path)) as connection:
        assert connection.execute("SELECT count(*) FROM readings WHERE id IS NOT NULL").get == len(upgrade.GIVEN)
        assert connection.pragma("integrity_check") == "ok"
    connection.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    connection = open_writer(path, 100)
    connection.pragma("user_version", 9_999)
    connection.close()
    with pytest.raises(ConfigurationError, match=f"schema version 9999, this program knows {NEWEST}"):
        open_writer(path, 100)


def test_readers_cannot_write(path: Path) -> None:
    writer = open_writer(path, 100)
    reader = open_reader(path, 100)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM readings")
    reader.close()
    writer.close()


def test_a_reader_does_not_create_a_database(path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(apsw.CantOpenError):
        open_reader(path, 100).execute("SELECT 1 FROM readings")
    assert not path.exists()


def _open_once(path: Path, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    open_writer(path, 5_000).close()


def test_several_processes_may_create_it_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    processes = [context.Process(target=_open_once, args=(path, start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (apsw.FullError("x"), StorageFull, "full"),
        (apsw.BusyError("x"), Unavailable, "locked"),
        (apsw.LockedError("x"), Unavailable, "locked"),
        (apsw.CorruptError("x"), Unavailable, "damaged"),
        (apsw.NotADBError("x"), Unavailable, "damaged"),
        (apsw.IOError("x"), Unavailable, "disk"),
        (FileNotFoundError("x"), Unavailable, "disk"),
        (apsw.CantOpenError("x"), Unavailable, "cannot be used"),
        (ConfigurationError("x"), Unavailable, "cannot be used"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_one_meaning(error: Exception, kind: type[SensorcastError], words: str) -> None:
    meaning = translate(error)
    assert type(meaning) is kind
    assert words in meaning.message
    assert meaning.retryable
    assert (meaning.retry_after_s or 0) > 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (apsw.NotADBError("x"), "not a sound SQLite database"),
        (apsw.BusyError("x"), "locked by another process"),
        (PermissionError(13, "Permission denied"), "cannot be opened"),
    ],
    ids=["no database", "locked", "permission"],
)
def test_a_failed_start_says_why_and_what_to_do(error: apsw.Error | OSError, words: str) -> None:
    failure = open_failure(error, Path("readings.db"))
    assert words in failure.message
    assert failure.hint
