"""Connections that keep their promises, a schema that is brought up to date once, errors with a meaning."""

from __future__ import annotations

import asyncio
import socket

import asyncpg
import pytest

from sensorcast.errors import ConfigurationError, SensorcastError, StorageFull, Unavailable
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.postgres_server import connect, is_about_the_work, is_lost, migrate, open_pool, translate
from tests.support.postgres import PostgresServer


async def test_a_connection_waits_for_the_disk_at_commit(postgres: PostgresServer) -> None:
    connection = await connect(await postgres.new_database())
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()


async def test_connections_end_soon_when_the_other_machine_is_gone(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    connection, pool = await connect(url), await open_pool(url, 1)
    async with pool.acquire() as pooled:
        for each in (connection, pooled):
            connected = each._transport.get_extra_info("socket")
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000
    await connection.close()
    await pool.close()


async def test_connections_for_queries_cannot_write(postgres: PostgresServer) -> None:
    pool = await open_pool(await postgres.new_database(), 1)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await pool.execute("CREATE TABLE t (x integer)")
    await pool.close()


async def test_servers_that_start_at_once_migrate_once(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    connections = [await connect(url) for _ in range(4)]
    versions = await asyncio.gather(*(migrate(connection) for connection in connections))
    assert sorted(before for before, _ in versions)[:2] == [0, versions[0][1]]
    for connection in connections:
        await connection.close()


async def test_a_newer_schema_is_refused(postgres: PostgresServer) -> None:
    connection = await connect(await postgres.new_database())
    await migrate(connection)
    await connection.execute("UPDATE schema_version SET version = 9999")
    with pytest.raises(ConfigurationError, match="schema version 9999"):
        await migrate(connection)
    await connection.close()


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (asyncpg.DiskFullError(), StorageFull),
        (asyncpg.CannotConnectNowError(), Unavailable),
        (asyncpg.ReadOnlySQLTransactionError(), Unavailable),
        (ConnectionResetError(), Unavailable),
        (asyncpg.InsufficientPrivilegeError(), Unavailable),
    ],
    ids=repr,
)
def test_an_error_of_the_server_has_a_meaning_to_callers(error: Exception, meaning: type[SensorcastError]) -> None:
    assert type(translate(error)) is meaning
    assert not is_about_the_work(error)


def test_errors_about_values_concern_only_the_work_that_has_them() -> None:
    assert is_about_the_work(asyncpg.InvalidTextRepresentationError())
    assert is_about_the_work(asyncpg.exceptions._base.DataError("x"))
    assert not is_lost(asyncpg.exceptions._base.DataError("x"))
    assert is_lost(asyncpg.InterfaceError("connection is closed"))


@pytest.mark.parametrize(
    "address",
    ["u:s3cret/word@127.0.0.1/x", "u:s3cret#word@127.0.0.1/x", "u:s3cret[@127.0.0.1/x", "u:s3cret@127.0.0.1:99999/x"],
)
async def test_an_address_that_is_none_is_refused_without_showing_the_password(address: str) -> None:
    store = PostgresStore(f"postgresql://{address}", Settings())
    with pytest.raises(ConfigurationError, match="address cannot be read") as caught:
        await store.open()
    assert "s3cret" not in caught.value.message
