"""Claims about credentials: no token, no data; no reason given that tells what others have."""

from __future__ import annotations

import pytest

from sensorcast.model import Role

from .conftest import Door

_UNITS = "/api/orgs/acme/units"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer not.a.token", "token x"])
async def test_a_request_without_a_good_token_is_refused_with_401(door: Door, header: str | None) -> None:
    answer = await door.client.get(_UNITS, headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert "www-authenticate" in answer.headers


async def test_an_expired_token_says_so(door: Door) -> None:
    answer = await door.get(_UNITS, token=door.token(ttl_s=-60))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_expired")


async def test_a_token_in_the_address_does_not_count(door: Door) -> None:
    assert (await door.client.get(_UNITS, params={"token": door.token()})).status_code == 401


@pytest.mark.parametrize("role", list(Role))
async def test_every_role_may_read_its_organization(door: Door, role: Role) -> None:
    assert (await door.get(_UNITS, token=door.token(role=role))).status_code == 200


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.OWNER, 200), (Role.ADMIN, 200), (Role.MANAGER, 403), (Role.STAFF, 403), (Role.VIEWER, 403)],
)
async def test_only_owners_and_admins_see_statistics(door: Door, role: Role, status: int) -> None:
    assert (await door.get("/api/stats", token=door.token(role=role))).status_code == status


async def test_statistics_of_an_organization_of_others_and_an_unknown_one_are_refused_alike(door: Door) -> None:
    owner = door.token(role=Role.OWNER)
    theirs = await door.get("/api/stats", token=owner, organizationId="globex")
    unknown = await door.get("/api/stats", token=owner, organizationId="nobody")
    assert theirs.status_code == unknown.status_code == 403
    assert theirs.content == unknown.content


async def test_an_organization_that_asks_too_often_is_told_to_wait(door: Door) -> None:
    for _ in range(2_000):
        door.quotas.take_request("acme")
    answer = await door.get(_UNITS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert (await door.get("/api/orgs/globex/units", token=door.token("globex"))).status_code == 200


async def test_an_owner_sees_what_the_organization_uses(door: Door) -> None:
    usage = (await door.get("/api/stats", token=door.token(role=Role.OWNER))).json()["usage"]
    assert usage == {"requests": 1, "readings": 0, "outboundBytes": 0, "refused": 0, "subscriptions": 0}
