"""The proof proves something: with any one organization predicate taken out, it finds a leak."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sensorcast import model
from sensorcast.auth import tokens
from sensorcast.cluster.relay import Relay
from sensorcast.errors import InvalidRequest
from sensorcast.model import Room
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite import SqliteStore
from sensorcast.stream import SensorStream
from sensorcast.transport import gateway
from sensorcast.verify.probe import Finding, Probe
from sensorcast.verify.tenant import Tenant
from tests.contracts import registry
from tests.contracts.credentials import CredentialContract
from tests.contracts.registry import RegistryContract
from tests.contracts.store import ReadingStoreContract
from tests.isolation.node import NAMES, node, nodes
from tests.isolation.predicates import Predicate, predicates
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.stores import opener

Mutate = Callable[[pytest.MonkeyPatch], None]

ORGANIZATIONS = [f"{name}-{number}" for number, name in enumerate(NAMES)]
OPERATIONS = 400

BY_CONTRACT: dict[tuple[str, str], Callable[..., Any]] = {
    ("credentials", "_COUNT_KEYS"): CredentialContract.test_the_keys_of_an_organization_are_bounded,
    ("credentials", "_COUNT"): CredentialContract.test_the_revocations_of_an_organization_are_bounded,
    **dict.fromkeys(
        [("credentials", name) for name in ("_REVOKE_ALL_KEYS", "_DELETE", "_DELETE_ALL")],
        CredentialContract.test_revoking_an_organization_takes_its_keys_and_only_its_own,
    ),
    ("registry", "_COUNT"): RegistryContract.test_only_those_beyond_the_bound_are_left_out,
    ("registry", "_FORGET_COUNTS"): RegistryContract.test_what_was_removed_makes_room_in_its_organization_and_no_other,
    **dict.fromkeys(
        [("registry", name) for name in ("_REMOVE_ALL", "_LIST")],
        RegistryContract.test_with_an_organization_go_its_entries_and_no_others,
    ),
    **dict.fromkeys(
        [("registry", name) for name in ("_REPLACE", "_FIND", "_REMOVE")],
        RegistryContract.test_alike_ids_of_two_organizations_or_kinds_are_different_entries,
    ),
    **dict.fromkeys(
        [("sqlite_ids", "_GIVEN"), ("postgres_units", "_ADD_SENDERS")],
        ReadingStoreContract.test_ids_and_readings_of_another_organization_do_not_matter,
    ),
}
"""Statements that write or count what no surface shows at once, and the claim of the contract that finds each out."""

HARMLESS = (
    *(f"postgres_units._FIND-{place}" for place in range(3)),
    *(f"{kind}._DERIVED-0" for kind in ("postgres_rows", "sqlite_ids")),
)
"""Narrow what is looked for: a row of `senders` names its organization three times, by its number, by that of its unit,
and in its digest."""


async def first_finding(urls: Sequence[str], tenants: Sequence[Tenant]) -> Finding | None:
    """Do operations until one finds something."""
    chance = random.Random(3)
    async with httpx.AsyncClient(timeout=30) as client:
        probe = Probe(urls, client, tenants, chance)
        try:
            await probe.fill()
            for _ in range(OPERATIONS):
                if probe.findings:
                    break
                await probe.operate(chance.choice(list(probe.operations)), *chance.sample(list(tenants), 2))
        finally:
            await probe.close()
    return probe.findings[0] if probe.findings else None


async def breaks(claim: Callable[..., Any], folder: Path, predicate: Predicate, url: str) -> bool:
    """Tell whether a claim of a contract does not hold; an empty `url` is SQLite."""
    settings = registry.SETTINGS

    def make() -> PostgresStore | SqliteStore:
        return PostgresStore(url, settings) if url else SqliteStore(folder / "readings.db", settings)

    async with opener(make) as open_one:
        given: dict[str, Any] = {"store": await open_one()}
        with pytest.MonkeyPatch.context() as patch:
            if "revocations_max" in claim.__code__.co_varnames:
                given |= {"monkeypatch": patch, "revocations_max": "sensorcast.store.credential_rows.REVOCATIONS_MAX"}
            try:
                await claim(None, **given)
            except (AssertionError, pytest.fail.Exception, InvalidRequest):
                return True
    return False


@pytest.mark.parametrize("predicate", [each for each in predicates() if str(each) not in HARMLESS], ids=str)
async def test_a_missing_predicate_is_found(
    predicate: Predicate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    url = ""
    if predicate.store == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = await postgres.new_database()
    predicate.take_out(monkeypatch)
    claim = BY_CONTRACT.get((predicate.module, predicate.name))
    if claim is not None:
        assert await breaks(claim, tmp_path, predicate, url)
        return
    async with nodes(tmp_path, database_url=url) as (urls, tenants):
        assert await first_finding(urls, tenants)


def test_the_predicates_of_both_stores_are_known() -> None:
    found = {(each.store, each.module) for each in predicates()}
    for kind in ("sqlite", "postgres"):
        for module in ("credentials", "registry", kind, f"{kind}_units", f"{kind}_series"):
            assert (kind, module) in found
    assert BY_CONTRACT.keys() <= {(each.module, each.name) for each in predicates()}


# What is no SQL


def room(name: str, spelled: Callable[..., str]) -> Mutate:
    return lambda patch: patch.setattr(Room, name, classmethod(lambda cls, *parts: cls(spelled(*parts))))


def latest_of_everybody(patch: pytest.MonkeyPatch) -> None:
    real = SensorStream.latest_of

    def latest_of(stream: SensorStream, organization_id: str) -> list[Any]:
        return [reading for name in ORGANIZATIONS for reading in real(stream, name)]

    patch.setattr(SensorStream, "latest_of", latest_of)


def latest_of_anybody(patch: pytest.MonkeyPatch) -> None:
    real = SensorStream.get_latest_reading

    def get(stream: SensorStream, organization_id: str, unit_id: str) -> Any:
        return next(filter(None, (real(stream, name, unit_id) for name in ORGANIZATIONS)), None)

    patch.setattr(SensorStream, "get_latest_reading", get)


def any_organization_may_be_followed(patch: pytest.MonkeyPatch) -> None:
    def organization_room(identity: Any, organization_id: str) -> Room:
        return Room.organization(model.Identity(organization_id=organization_id, subject="", role=model.Role.OWNER))

    patch.setattr(gateway, "_organization_room", organization_room)


def any_token_is_for_any_organization(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "_pick", lambda claimed, wanted: wanted or claimed)


MUTATIONS: dict[str, Mutate] = {
    "organization room": room("organization", lambda owner: "org"),
    "unit room": room("unit", lambda owner, unit_id: f"unit:{unit_id}"),
    "site room": room("site", lambda owner, site_id: f"site:{site_id}"),
    "latest of all": latest_of_everybody,
    "latest": latest_of_anybody,
    "subscribe:organization": any_organization_may_be_followed,
    "organization of a token": any_token_is_for_any_organization,
}


async def test_readings_of_another_node_taken_for_those_of_everybody_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, shared_redis: RedisServer
) -> None:
    real = Relay._take

    def take(relay: Relay, _organization_id: str, reading: model.Reading, origin: str) -> None:
        for name in ORGANIZATIONS:
            real(relay, name, msgspec.structs.replace(reading, organization_id=name), origin)

    monkeypatch.setattr(Relay, "_take", take)
    joined = {"redis_url": shared_redis.url, "redis_prefix": uuid.uuid4().hex}
    async with nodes(tmp_path, 2, database_url=await postgres.new_database(), **joined) as (urls, tenants):
        assert await first_finding(urls, tenants)


@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=MUTATIONS.keys())
async def test_a_missing_check_is_found(mutate: Mutate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    async with node(tmp_path) as (url, tenants):
        assert await first_finding([url], tenants)
