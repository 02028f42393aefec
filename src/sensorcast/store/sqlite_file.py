"""The SQLite file: opening it safely, bringing its schema up to date, and naming what can go wrong with it.

Owns the pragmas, the application id and the numbered migrations. The invariant: a connection given out by this module
belongs to a sensorcast database of the version this program knows, in WAL mode, and its commits reach the disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import apsw

from sensorcast.errors import ConfigurationError, SensorcastError, StorageFull, Unavailable
from sensorcast.model import reading_id

_APPLICATION_ID: Final = 0x53_43_53_54
"""`SCST` in the file's header: tells our databases from those of other programs."""

_WRITER_CACHE_KIB: Final = 64 * 1024
"""Pages one group commit may change without spilling to the disk early: 20,000 readings touch about 40 MiB at worst."""

_READER_CACHE_KIB: Final = 8 * 1024
_WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
"""What is left of a write-ahead log that grew large, once it was copied into the database."""

_BUSY_HINT: Final = "Another process holds the database locked; is a backup or a shell open on it?"


def open_writer(path: Path, busy_timeout_ms: int) -> apsw.Connection:
    """Open or create the database for the one writer and migrate it. Raises `ConfigurationError` or apsw errors."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone_in(path.parent):
        _create_private(path)
        connection = apsw.Connection(str(path))
        try:
            _prepare(connection, busy_timeout_ms, _WRITER_CACHE_KIB)
            connection.transaction_mode = "IMMEDIATE"
            _check_owner(connection, path)
            if connection.pragma("journal_mode", "wal") != "wal":
                raise ConfigurationError(f"{path} cannot be used in WAL mode", hint="Put `data` on a local disk.")
            connection.pragma("synchronous", "full")
            # The writer checkpoints by itself, after it has answered; see `sqlite_writer`.
            connection.pragma("wal_autocheckpoint", 0)
            connection.pragma("journal_size_limit", _WAL_KEPT_BYTES)
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path, busy_timeout_ms: int) -> apsw.Connection:
    """Open the existing database for queries only."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        _prepare(connection, busy_timeout_ms, _READER_CACHE_KIB)
        connection.pragma("query_only", True)
    except BaseException:
        connection.close()
        raise
    return connection


def translate(error: Exception) -> SensorcastError:
    """Say what an error of SQLite or of its file means to a caller of the store."""
    match error:
        case apsw.FullError():
            return StorageFull("the disk of the database is full", retry_after_s=5)
        case apsw.BusyError() | apsw.LockedError():
            return Unavailable("the database is locked by another process", hint=_BUSY_HINT, retry_after_s=1)
        case apsw.CorruptError() | apsw.NotADBError():
            return Unavailable("the database file is damaged", hint="Restore it from a backup.", retry_after_s=60)
        case apsw.IOError() | OSError():
            return Unavailable("the disk of the database reports an error", retry_after_s=5)
        case _:
            return Unavailable("the database cannot be used", retry_after_s=5)


def open_failure(error: apsw.Error | OSError, path: Path) -> ConfigurationError:
    """Say why the database could not be opened at the start."""
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return ConfigurationError(f"{path} is not a sound SQLite database", hint="Restore it, or name another folder.")
    if isinstance(error, apsw.BusyError):
        return ConfigurationError(f"{path} is locked by another process", hint=_BUSY_HINT)
    return ConfigurationError(f"{path} cannot be opened: {error}", hint="Check the setting `data` and its permissions.")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from opening for writing meanwhile: the change to WAL mode does not wait for a lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_private(path: Path) -> None:
    """Create the file readable by its owner only; SQLite gives its `-wal` and `-shm` files the same mode.

    A file that exists is not touched: closing it here would end the locks of every connection this process has on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare(connection: apsw.Connection, busy_timeout_ms: int, cache_kib: int) -> None:
    connection.set_busy_timeout(busy_timeout_ms)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "memory")
    connection.pragma("trusted_schema", False)


def _check_owner(connection: apsw.Connection, path: Path) -> None:
    owner = connection.pragma("application_id")
    if owner == _APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != 0 or tables != 0:
        raise ConfigurationError(f"{path} is a database of another program", hint="Name another folder with `data`.")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    """Run the migrations this file has not seen, all in one transaction, whoever of several processes comes first."""
    migrations = _migrations()
    newest = max(migrations)
    if connection.pragma("user_version") == newest:
        return
    with connection:
        version = connection.pragma("user_version")
        if version > newest:
            raise ConfigurationError(
                f"{path} has schema version {version}, this program knows {newest}", hint="Run a newer sensorcast."
            )
        connection.create_scalar_function("derived_id", _derived_id, 4, deterministic=True)
        for number in range(version + 1, newest + 1):
            connection.execute(migrations[number])
        connection.create_scalar_function("derived_id", None, 4)
        connection.pragma("application_id", _APPLICATION_ID)
        connection.pragma("user_version", newest)


def _derived_id(*natural_key: Any) -> bytes:
    """What migrations call `derived_id`: organization, unit, device and time of a reading."""
    return UUID(reading_id(*natural_key)).bytes


def _migrations() -> dict[int, str]:
    """Give the SQL of each migration by its number, which is the start of its file's name."""
    folder = resources.files("sensorcast.store") / "sqlite_migrations"
    scripts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return {int(name.split("_", 1)[0]): script for name, script in scripts.items()}
