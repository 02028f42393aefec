"""The proof proves something: with any one organization predicate taken out, it finds a leak."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sensorcast import model
from sensorcast.auth import tokens
from sensorcast.model import Room
from sensorcast.store import sqlite, sqlite_credentials, sqlite_series
from sensorcast.stream import SensorStream
from sensorcast.transport import gateway
from sensorcast.verify.run import verify
from tests.isolation.node import NAMES, node

Mutate = Callable[[pytest.MonkeyPatch], None]


ORGANIZATIONS = [f"{name}-{number}" for number, name in enumerate(NAMES)]
PREDICATE = re.compile(r"(?:\w\.)?organization_id = (?:\?|:organization_id)")


def sql(module: Any, name: str) -> Mutate:
    """Take the organization out of a statement; the number of its parameters stays."""
    without, count = PREDICATE.subn(lambda found: f"({found[0]} OR 1)", getattr(module, name))
    assert count == 1, f"{name} has {count} predicates: write down which one is taken out"
    return lambda patch: patch.setattr(module, name, without)


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


def samples_of_everybody(patch: pytest.MonkeyPatch) -> None:
    real = sqlite.select_samples

    def select(connection: Any, organization_id: str, *args: Any, **span: Any) -> Any:
        return {unit: row for name in ORGANIZATIONS for unit, row in real(connection, name, *args, **span).items()}

    patch.setattr(sqlite, "select_samples", select)


def any_organization_may_be_followed(patch: pytest.MonkeyPatch) -> None:
    def organization_room(identity: Any, organization_id: str) -> Room:
        return Room.organization(model.Identity(organization_id=organization_id, subject="", role=model.Role.OWNER))

    patch.setattr(gateway, "_organization_room", organization_room)


def any_token_is_for_any_organization(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "_pick", lambda claimed, wanted: wanted or claimed)


STATEMENTS: dict[str, tuple[Any, str]] = {
    "units": (sqlite, "_NEWEST_OF_ORGANIZATION"),
    "history": (sqlite, "_HISTORY"),
    "series": (sqlite_series, "_FIND_UNIT"),
    "keys": (sqlite_credentials, "_LIST_KEYS"),
    "revoking a key": (sqlite_credentials, "_REVOKE_KEY"),
    "revocations": (sqlite_credentials, "_LIST"),
}
BY_CONTRACT = {"_COUNT_KEYS", "_REVOKE_ALL_KEYS", "_DELETE", "_DELETE_ALL", "_COUNT"}
"""Statements that only write or count: `contracts.credentials` finds them out, from within."""

MUTATIONS: dict[str, Mutate] = {
    **{name: sql(*statement) for name, statement in STATEMENTS.items()},
    "organization room": room("organization", lambda owner: "org"),
    "unit room": room("unit", lambda owner, unit_id: f"unit:{unit_id}"),
    "site room": room("site", lambda owner, site_id: f"site:{site_id}"),
    "samples": samples_of_everybody,
    "latest of all": latest_of_everybody,
    "latest": latest_of_anybody,
    "subscribe:organization": any_organization_may_be_followed,
    "organization of a token": any_token_is_for_any_organization,
}


def test_every_predicate_of_a_statement_has_its_mutation() -> None:
    known = {name for _, name in STATEMENTS.values()} | BY_CONTRACT
    for module in (sqlite, sqlite_series, sqlite_credentials):
        found = {name for name, value in vars(module).items() if isinstance(value, str) and PREDICATE.search(value)}
        assert found <= known, f"{module.__name__}: {found - known}"


@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=MUTATIONS.keys())
async def test_a_missing_predicate_is_found(mutate: Mutate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    async with node(tmp_path) as (url, tenants):
        report = await verify([url], tenants, operations=250, seed=3)
    assert report.leaks
