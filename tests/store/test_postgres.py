"""The PostgreSQL store keeps the contract, and what is particular to it: several servers, restarts, odd ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensorcast.errors import ConfigurationError, Unavailable
from sensorcast.model import Reading, Verdict
from sensorcast.settings import Settings
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.postgres_server import _migrations, connect
from sensorcast.store.postgres_units import Partitions
from tests.contracts import upgrade
from tests.contracts.store import ANY_READING, KeyStoreContract, Model, OpenStore, ReadingStoreContract, history
from tests.readings import SECOND_US, reading, series
from tests.support.postgres import PostgresServer
from tests.support.stores import opener


@pytest.fixture
async def open_store(postgres: PostgresServer) -> AsyncIterator[OpenStore]:
    url = await postgres.new_database()
    async with opener(lambda: PostgresStore(url, Settings())) as open_one:
        yield open_one


class TestReadings(ReadingStoreContract):
    pass


class TestKeys(KeyStoreContract):
    pass


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(ANY_READING, max_size=8), max_size=6))
async def test_the_store_agrees_with_the_simplest_model(postgres: PostgresServer, calls: list[list[Reading]]) -> None:
    store, model = PostgresStore(await postgres.new_database(), Settings()), Model()
    await store.open()
    try:
        for call in calls:
            assert await store.append(call) == [model.append(item) for item in call]
        for unit_id in ("u1", "u2"):
            kept = [item for item in model.by_key.values() if item.unit_id == unit_id]
            kept.sort(key=lambda item: (item.recorded_at_us, item.device_id or ""), reverse=True)
            assert await history(store, unit_id) == kept
    finally:
        await store.close()


async def test_two_servers_on_one_database_keep_the_contract_together(open_store: OpenStore) -> None:
    first, second = await open_store(), await open_store()
    verdicts = await asyncio.gather(*((first, second)[n % 2].append(series(40)) for n in range(10)))
    assert sorted(found.value for each in verdicts for found in each) == ["duplicate"] * 360 + ["stored"] * 40
    assert await history(first) == series(40)[::-1]


async def test_readings_of_any_time_find_their_partition(open_store: OpenStore) -> None:
    store = await open_store()
    spread = [reading(at_us=years * 365 * 86_400 * SECOND_US) for years in (-1800, -60, -3, 0, 1, 5000)]
    assert await store.append(spread) == [Verdict.STORED] * len(spread)
    page = await store.readings("acme", "u1", start_us=-(2**62), end_us=2**62, limit=99, cursor=None)
    assert page.readings == spread[::-1]
    assert (await store.latest(limit=9)) == spread[-1:]


async def test_an_address_that_nobody_answers_at_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="PostgreSQL") as caught:
        await PostgresStore("postgresql://someone:secret@127.0.0.1:1/x", Settings()).open()
    assert "secret" not in str(caught.value)


async def test_too_many_waiting_queries_are_refused(open_store: OpenStore) -> None:
    store = await open_store()
    results = await asyncio.gather(*(history(store) for _ in range(600)), return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 600 - 512


async def test_a_query_that_the_driver_gives_up_is_unavailable_not_a_fault(open_store: OpenStore) -> None:
    store = await open_store()
    assert isinstance(store, PostgresStore)

    async def give_up(_connection: object) -> None:
        raise asyncpg.InternalClientError("got result for unknown protocol state")

    with pytest.raises(Unavailable):
        await store.query(give_up)


_OF_VERSION_2 = """
INSERT INTO organizations (organization_id) VALUES ('acme');
INSERT INTO units (organization_no, unit_id) VALUES (1, 'u1');
INSERT INTO api_keys (key_id, organization_id, name, secret_sha256, created_at_us, scopes) VALUES
    ('k1', 'acme', 'gateway', '{secret}', {recorded_at_us}, 'ingest read'),
    ('k2', 'keyed', '', '{secret}', {recorded_at_us}, 'ingest');
INSERT INTO revocations (organization_id, kind, subject, revoked_at_us) VALUES ('acme', 'user', 'ada', 1);
CREATE TABLE schema_version (version integer NOT NULL);
INSERT INTO schema_version (version) VALUES (2);
INSERT INTO given_ids (organization_no, id, recorded_at_us, like_ours) VALUES (1, '{given_id}', {given_at_us}, false)
"""
_READING_OF_VERSION_2 = (
    "INSERT INTO readings (unit_no, recorded_at_us, device_id, organization_no, id, received_at_us, temperature, "
    "metrics, source, site_id) VALUES (1, $1, $2, 1, $3, $4, $5, $6, $7, $8)"
)


def _row_of_version_2(item: Reading) -> tuple[object, ...]:
    metrics = None if item.metrics is None else '{"co2": 400}'
    values = (item.received_at_us, item.temperature, metrics, item.source, item.site_id)
    return (item.recorded_at_us, item.device_id or "", item.id, *values)


async def test_a_database_of_the_version_before_the_registry_keeps_everything_and_works(
    postgres: PostgresServer,
) -> None:
    url = await postgres.new_database()
    connection = await connect(url)
    for number in (1, 2):
        await connection.execute(_migrations()[number])
    await Partitions().make(connection, [upgrade.KEPT.recorded_at_us])
    times = {"recorded_at_us": upgrade.KEPT.recorded_at_us, "given_at_us": upgrade.GIVEN[0].recorded_at_us}
    given_id, secret = upgrade.GIVEN[0].id, upgrade.KEY.secret_sha256
    await connection.execute(_OF_VERSION_2.format(**times, given_id=given_id, secret=secret))
    await connection.executemany(_READING_OF_VERSION_2, map(_row_of_version_2, (upgrade.KEPT, *upgrade.GIVEN)))
    await connection.close()
    store = PostgresStore(url, Settings())
    await store.open()
    await upgrade.check_upgraded(store)
    await store.close()


async def test_a_query_that_takes_too_long_is_not_asked_again(postgres: PostgresServer) -> None:
    store = PostgresStore(await postgres.new_database(), Settings())
    await store.open()
    asked = []

    async def sleep(connection: Any) -> None:
        asked.append(connection)
        await connection.execute("SELECT pg_sleep(60)", timeout=0.1)

    with pytest.raises(Unavailable, match="does not answer"):
        await store.query(sleep)
    assert len(asked) == 1
    await store.close()
