"""Transactions whose outcome is always known: cut connections, crashed servers, errors of the work itself."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from sensorcast.errors import Unavailable
from sensorcast.model import Verdict
from sensorcast.settings import Settings
from sensorcast.store import postgres_server, postgres_session
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.postgres_server import migrate
from sensorcast.store.postgres_session import Outage, PostgresSession
from tests.contracts.store import history
from tests.readings import reading, series
from tests.support.fault_proxy import Cut, FaultProxy
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())
async def test_a_commit_whose_answer_never_came_is_found_out_and_nothing_is_done_twice(
    postgres: PostgresServer, cut: Cut
) -> None:
    direct = await postgres.new_database()
    async with FaultProxy(postgres.port, b"COMMIT\0", cut, cuts_left=0) as proxy:
        store = PostgresStore(direct.replace(f":{postgres.port}/", f":{proxy.own_port}/"), Settings())
        await store.open()
        await store.append([reading("first")])
        proxy.cuts_left = 3
        for number in range(6):
            assert await store.append([reading(f"u{number}")]) == [Verdict.STORED]
        assert proxy.cuts == 3
        assert len(await store.units("acme", after=None, limit=99)) == 7
        assert await store.trouble() is None
        await store.close()


async def test_a_commit_lost_in_a_crash_is_not_mistaken_for_that_of_another_session() -> None:
    with tempfile.TemporaryDirectory(prefix="sensorcast-postgres-") as folder:
        server = PostgresServer(Path(folder)).create()
        url = server.url()

        async def crash_and_let_others_commit() -> None:
            await asyncio.to_thread(server.restart, "immediate")
            other = await asyncpg.connect(url)
            for _ in range(200):
                await other.execute("SELECT pg_current_xact_id()")
            await other.close()

        async with FaultProxy(
            server.port, b"COMMIT\0", Cut.BEFORE, cuts_left=0, at_cut=crash_and_let_others_commit
        ) as proxy:
            store = PostgresStore(url.replace(f":{server.port}/", f":{proxy.own_port}/"), Settings())
            await store.open()
            await store.append([reading("first")])
            for number in range(3):
                proxy.cuts_left = 1
                assert await store.append([reading(f"u{number}")]) == [Verdict.STORED]
            assert {found.unit_id for found in await store.latest(limit=9)} == {"first", "u0", "u1", "u2"}
            await store.close()
        server.stop("immediate")


async def test_a_commit_that_a_crash_leaves_unanswered_is_known_as_done() -> None:
    with tempfile.TemporaryDirectory(prefix="sensorcast-postgres-") as folder:
        server = PostgresServer(Path(folder)).create()

        async def crash() -> None:
            await asyncio.to_thread(server.restart, "immediate")

        async with FaultProxy(server.port, b"COMMIT\0", Cut.UNANSWERED, cuts_left=0, at_cut=crash) as proxy:
            store = PostgresStore(server.url().replace(f":{server.port}/", f":{proxy.own_port}/"), Settings())
            await store.open()
            await store.append([reading("first")])
            proxy.cuts_left = 1
            assert await store.append([reading("u1")]) == [Verdict.STORED]
            assert proxy.cuts == 1
            assert await store.append([reading("u1")]) == [Verdict.DUPLICATE]
            await store.close()
        server.stop("immediate")


async def test_a_deadlock_while_a_commit_is_found_out_does_not_do_it_again(postgres: PostgresServer) -> None:
    direct = await postgres.new_database()
    other = await asyncpg.connect(direct)
    await migrate(other)
    await other.execute("CREATE TABLE done (times integer)")
    await other.execute("SET deadlock_timeout = '300s'")  # the session shall find it, and give way
    locked = asyncio.Event()

    async def lock_the_mark() -> None:
        await other.execute("BEGIN")
        await other.execute("SELECT FROM commit_marks FOR UPDATE")
        locked.set()

    async def lock_each_other() -> None:
        waiting = "SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        async with asyncio.timeout(60):
            while not await other.fetchval(waiting):
                await asyncio.sleep(0.02)
            await other.execute("LOCK TABLE commit_marks IN EXCLUSIVE MODE")
            await other.execute("ROLLBACK")

    async with FaultProxy(postgres.port, b"COMMIT\0", Cut.UNANSWERED, at_cut=lock_the_mark) as proxy:
        url = direct.replace(f":{postgres.port}/", f":{proxy.own_port}/")
        session = PostgresSession(f"{url}&deadlock_timeout=5s", Outage(), random=Random(1))
        running = asyncio.create_task(session.run(lambda each: each.execute("INSERT INTO done VALUES (1)")))
        await locked.wait()
        await lock_each_other()
        await running
        assert await other.fetchval("SELECT count(*) FROM done") == 1
        session.close()
    await other.close()


async def test_marks_of_sessions_of_the_past_are_deleted_when_a_store_opens(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    store, other = PostgresStore(url, Settings()), await asyncpg.connect(url)
    await store.open()
    await store.append([reading()])
    await store.close()
    await other.execute("UPDATE commit_marks SET written_at = now() - interval '2 days'")
    store = PostgresStore(url, Settings())
    await store.open()
    await store.append([reading()])
    ages = await other.fetch("SELECT now() - written_at < interval '1 hour' AS fresh FROM commit_marks")
    assert [row["fresh"] for row in ages] == [True]
    await other.close()
    await store.close()


async def test_an_error_of_the_work_is_raised_and_the_session_goes_on(postgres: PostgresServer) -> None:
    session = PostgresSession(await postgres.new_database(), outage := Outage(), random=Random(1))
    await migrate(await session.open())

    async def fail(connection: Any) -> None:
        await connection.execute("CREATE TABLE t (x integer)")
        await connection.execute("SELECT 1/0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await session.run(fail)
    assert outage.failure is None
    assert await session.run(lambda connection: connection.fetchval("SELECT to_regclass('t')")) is None
    session.close()


async def test_work_that_kept_an_error_to_itself_is_not_taken_for_committed(postgres: PostgresServer) -> None:
    session = PostgresSession(await postgres.new_database(), outage := Outage(), random=Random(1))
    await migrate(await session.open())

    async def keep_it(connection: Any) -> None:
        with suppress(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1/0")

    with pytest.raises(RuntimeError, match="none of it was committed"):
        await session.run(keep_it)
    assert outage.failure is None
    session.close()


@pytest.mark.real_time
async def test_a_server_that_stays_away_is_waited_for_once_and_then_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres_session, "_RETRY_S", 1.0)
    session = PostgresSession(
        f"postgresql://sensorcast@127.0.0.1:{free_port()}/x", outage := Outage(), random=Random(1)
    )
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            await session.run(lambda connection: connection.execute("SELECT 1"))
    assert outage.failure == "the database does not answer"
    started_s = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await session.run(lambda connection: connection.execute("SELECT 1"))
    assert asyncio.get_running_loop().time() - started_s < 0.9


async def test_a_backend_that_is_ended_costs_nothing_but_a_new_connection(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    store, other = PostgresStore(url, Settings()), await asyncpg.connect(url)
    await store.open()
    await store.append(series(3))
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sensorcast%'"
    )
    assert await history(store) == series(3)[::-1]
    assert await store.append([reading("u2")]) == [Verdict.STORED]
    await other.close()
    await store.close()


async def test_the_time_that_an_answer_is_waited_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_session, "_RETRY_S", 0.2)
    monkeypatch.setattr(postgres_server, "CONNECT_TIMEOUT_S", 0.3)
    attempts, gone = 0, asyncio.Event()

    async def be_silent(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        with suppress(ConnectionError):
            await from_client.read()
        to_client.transport.abort()
        gone.set()

    async with await asyncio.start_server(be_silent, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        session = PostgresSession(f"postgresql://127.0.0.1:{port}/x?sslmode=disable", Outage(), random=Random(1))
        with pytest.raises(Unavailable):
            await session.run(lambda connection: connection.fetchval("SELECT 1"))
        session.close()
        async with asyncio.timeout(30):
            await gone.wait()  # or its connection would outlive the event loop
    assert attempts == 1
