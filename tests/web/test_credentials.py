"""Claims about keys and revocations over HTTP: for admins, of their own organization, and effective at once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sensorcast.model import Role

from .conftest import NOW_S, Door

KEYS = "/api/orgs/acme/keys"
REVOCATIONS = "/api/orgs/acme/revocations"


async def ask(
    door: Door, method: str, path: str, body: Any = None, *, role: Role = Role.ADMIN, org: str = "acme"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {door.token(org, role)}"}
    return await door.client.request(method, path, json=body, headers=headers)


async def test_a_key_is_made_shown_once_listed_and_revoked(door: Door) -> None:
    created = await ask(door, "POST", KEYS, {"name": "gateway", "scopes": ["read", "ingest"], "expiresInDays": 1})
    assert created.status_code == 201
    text, key = created.json()["text"], created.json()["key"]
    assert text.startswith(f"scast_{key['keyId']}_")
    assert (await door.get("/api/orgs/acme/units", token=text)).status_code == 200
    listed = await ask(door, "GET", KEYS)
    assert [each["keyId"] for each in listed.json()["keys"]] == [key["keyId"]]
    assert text.split("_")[2] not in listed.text
    assert "sha256" not in listed.text.lower()
    assert (await ask(door, "DELETE", f"{KEYS}/{key['keyId']}")).status_code == 204
    assert (await door.get("/api/orgs/acme/units", token=text)).status_code == 401
    assert (await ask(door, "DELETE", f"{KEYS}/{key['keyId']}")).status_code == 404


async def test_a_key_may_be_given_as_a_header_of_its_own(door: Door) -> None:
    text = (await ask(door, "POST", KEYS, {"scopes": ["read"]})).json()["text"]
    answer = await door.client.get("/api/orgs/acme/units", headers={"X-API-Key": text})
    assert answer.status_code == 200


async def test_a_key_that_only_sends_reads_nothing(door: Door) -> None:
    text = (await ask(door, "POST", KEYS, {})).json()["text"]
    assert (await door.get("/api/orgs/acme/units", token=text)).status_code == 403


async def test_a_key_reads_only_its_own_organization(door: Door) -> None:
    text = (await ask(door, "POST", KEYS, {"scopes": ["admin"]})).json()["text"]
    answers = [await door.get(f"/api/orgs/{each}/keys", token=text) for each in ("globex", "nobody")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("role", [Role.MANAGER, Role.STAFF, Role.VIEWER])
async def test_only_admins_and_owners_deal_with_credentials(door: Door, role: Role) -> None:
    for method, path in (("GET", KEYS), ("POST", KEYS), ("DELETE", f"{KEYS}/x"), ("GET", REVOCATIONS)):
        assert (await ask(door, method, path, role=role)).status_code == 403
    assert (await ask(door, "POST", REVOCATIONS, {"kind": "user", "subject": "x"}, role=role)).status_code == 403


async def test_credentials_of_others_are_like_unknown_ones(door: Door) -> None:
    key = (await ask(door, "POST", KEYS, {})).json()["key"]["keyId"]
    assert (await ask(door, "GET", KEYS, org="globex")).status_code == 404
    theirs = await ask(door, "DELETE", f"/api/orgs/globex/keys/{key}", org="globex")
    unknown = await ask(door, "DELETE", "/api/orgs/globex/keys/0000000000000000", org="globex")
    assert theirs.status_code == unknown.status_code == 404
    assert theirs.content == unknown.content


async def test_a_revoked_user_is_out_at_once_and_others_are_not(door: Door) -> None:
    other = door.token("globex")
    assert (await ask(door, "POST", REVOCATIONS, {"kind": "user", "subject": "somebody"})).status_code == 201
    assert (await door.get("/api/orgs/acme/units")).json()["error"]["message"] == "the credential was revoked"
    assert (await door.get("/api/orgs/globex/units", token=other)).status_code == 200


async def test_revocations_are_listed(door: Door) -> None:
    await ask(door, "POST", REVOCATIONS, {"kind": "token", "subject": "t1"})
    (entry,) = (await ask(door, "GET", REVOCATIONS)).json()["revocations"]
    assert (entry["kind"], entry["subject"]) == ("token", "t1")


async def test_only_an_owner_revokes_everything(door: Door) -> None:
    assert (await ask(door, "POST", REVOCATIONS, {"kind": "organization"})).status_code == 403
    assert (await ask(door, "POST", REVOCATIONS, {"kind": "organization"}, role=Role.OWNER)).status_code == 201
    assert (await door.get("/api/orgs/acme/units")).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "key", "subject": "x"},
        {"kind": "user"},
        {"kind": "organization", "subject": "x"},
        {"kind": "user", "subject": "x" * 257},
        {"kind": "user", "subject": "a\0b"},
        {"kind": "user", "subject": "x", "more": 1},
        {"kind": ["user"], "subject": "x"},
        {},
        [],
        None,
    ],
    ids=str,
)
async def test_what_is_no_revocation_is_refused(door: Door, body: Any) -> None:
    answer = await ask(door, "POST", REVOCATIONS, body, role=Role.OWNER)
    assert answer.status_code in {400, 422}
    assert (await ask(door, "GET", REVOCATIONS, role=Role.OWNER)).json()["revocations"] == []


@pytest.mark.parametrize(
    "body",
    [
        *({"scopes": []}, {"scopes": ["root"]}, {"expiresInDays": 0}, {"expiresInDays": 1.5}, {"name": 5}),
        *({"name": "a\0b"}, {"name": "\x1b[2J"}, {"name": "two\nlines"}, {"name": "\x9b2J"}),
    ],
    ids=str,
)
async def test_what_is_no_key_is_refused(door: Door, body: Any) -> None:
    assert (await ask(door, "POST", KEYS, body)).status_code == 422
    assert (await ask(door, "GET", KEYS)).json()["keys"] == []


async def test_the_clock_of_the_server_says_when_a_key_ends(door: Door) -> None:
    key = (await ask(door, "POST", KEYS, {"expiresInDays": 365})).json()["key"]
    assert (key["createdAt"][:10], key["expiresAt"][:10]) == ("2025-10-09", "2026-10-09")
    assert NOW_S == 1_760_000_000.0
