"""The PostgreSQL server: connecting to it safely, bringing its schema up to date, naming what can go wrong with it.

Owns the session settings and the numbered migrations. The invariant: a connection given out by this module waits at
COMMIT until the commit is on the disk, and belongs to a schema of the version this program knows.
"""

from __future__ import annotations

import asyncio
import socket
from importlib import resources
from typing import Any, Final

import asyncpg

from sensorcast.errors import ConfigurationError, SensorcastError, StorageFull, Unavailable
from sensorcast.store import postgres_upgrade

CONNECT_TIMEOUT_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 30.0
"""Longest wait for an answer: a server that does nothing any more must not hold its callers for ever."""

_SILENCE_S: Final = 5
"""Longest silence of the other side's kernel while something is to be confirmed: beyond it the machine is gone, or the
way to it, and an answer that takes long would come no more. Five or six repetitions of a lost packet fit in."""
_PROBE_S: Final = 1

_MIGRATION_LOCK: Final = 0x5343_5354_0001
"""Advisory lock (`SCST`): several servers may start at once, one of them migrates."""

SESSION: Final = {
    "application_name": "sensorcast",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",  # each statement sees what others have committed by then
    "jit": "off",  # short queries: compiling them costs more than it saves
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60000",
}

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
    OSError,
)
"""Errors that say the connection, or the server, is gone: another try on another connection may work."""

RACED: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Errors that end one transaction for the sake of another; the same again works."""


async def connect(url: str, *, name: str = "sensorcast") -> Any:
    """Give a connection of its own, which the server knows by a name.

    Raises asyncpg errors, `OSError` or `TimeoutError`.
    """
    settings = SESSION | {"application_name": name}
    return await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=_COMMAND_TIMEOUT_S,
        connection_class=_Connection,
        server_settings=settings,
    )


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Notices that the other machine is gone, which TCP by itself takes a quarter of an hour to do."""

    __slots__ = ()

    def __init__(self, protocol: Any, transport: asyncio.Transport, *further: Any, **named: Any) -> None:
        super().__init__(protocol, transport, *further, **named)
        _expect_life(transport.get_extra_info("socket"))


def _expect_life(connected: socket.socket) -> None:
    if connected.family not in {socket.AF_INET, socket.AF_INET6} or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_S * 1_000)


async def open_pool(url: str, size: int) -> Any:
    """Give a pool of connections for queries, none of them opened yet."""
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        connection_class=_Connection,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=_COMMAND_TIMEOUT_S,
        server_settings=SESSION | {"default_transaction_read_only": "on"},
    )


def is_lost(error: BaseException) -> bool:
    """Tell whether an error means that the connection is gone."""
    # asyncpg says by an InterfaceError, too, that a connection was closed under a call; its DataError is about values.
    return isinstance(error, LOST) or (isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError))


def is_about_the_work(error: BaseException) -> bool:
    """Tell whether an error says nothing about the server and does not concern other work."""
    about_server = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
    about_work = (
        *(asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError),
        asyncpg.LockNotAvailableError,  # who sets a short time for a lock says what that means
    )
    return isinstance(error, about_work) or not isinstance(error, about_server)


def translate(error: BaseException) -> SensorcastError:
    """Say what an error of the server means to a caller of the store."""
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFull("the disk of the database is full", retry_after_s=5)
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Unavailable("the database takes no writes now", hint="Is it a standby?", retry_after_s=5)
    if is_lost(error):
        return Unavailable("the database does not answer", retry_after_s=1)
    return Unavailable("the database cannot be used", retry_after_s=5)


def open_failure(error: BaseException) -> ConfigurationError:
    """Say why the database could not be used at the start; the address is left out, for it may hold a password."""
    if isinstance(error, (ValueError, OverflowError)) and not isinstance(error, asyncpg.InterfaceError):
        # What it says quotes the part that was taken for a port, which may be the beginning of a password.
        return ConfigurationError(
            "the PostgreSQL database cannot be used: its address cannot be read",
            hint="In `database_url` write what is special in a password as %2F for / and so on.",
        )
    return ConfigurationError(
        f"the PostgreSQL database cannot be used: {error or type(error).__name__}", hint="Check `database_url`."
    )


async def migrate(connection: Any) -> tuple[int, int]:
    """Run the migrations this database has not seen, in one transaction; give the versions before and after."""
    migrations = _migrations()
    newest = max(migrations)
    async with connection.transaction():
        # Whoever is first may have to look at every reading.
        await connection.execute(
            "SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=postgres_upgrade.TIMEOUT_S
        )
        await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)")
        version = int(await connection.fetchval("SELECT max(version) FROM schema_version") or 0)
        if version > newest:
            raise ConfigurationError(
                f"the database has schema version {version}, this program knows {newest}",
                hint="Run a newer sensorcast.",
            )
        for number in range(version + 1, newest + 1):
            await connection.execute(migrations[number], timeout=postgres_upgrade.TIMEOUT_S)
            if number == postgres_upgrade.VERSION:
                await postgres_upgrade.upgrade(connection)
        if version < newest:
            await connection.execute("DELETE FROM schema_version")
            await connection.execute("INSERT INTO schema_version (version) VALUES ($1)", newest)
    return version, newest


def _migrations() -> dict[int, str]:
    """Give the SQL of each migration by its number, which is the start of its file's name."""
    folder = resources.files("sensorcast.store") / "postgres_migrations"
    scripts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return {int(name.split("_", 1)[0]): script for name, script in scripts.items()}
