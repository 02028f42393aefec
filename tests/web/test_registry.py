"""Claims about the registry over HTTP: put, shown, listed and removed, by those who may, within one organization."""

from __future__ import annotations

from typing import Any

import pytest

from sensorcast.model import Role, Scope

from .asking import ask, pages
from .conftest import Door

BODIES: dict[str, dict[str, Any]] = {"sites": {}, "units": {}, "devices": {}}


@pytest.mark.parametrize("kind", BODIES)
async def test_an_entry_is_put_shown_listed_replaced_and_removed(door: Door, kind: str) -> None:
    path, noun = f"/{kind}/x-1", kind[:-1]
    created = await ask(door, "PUT", path, {"name": "Nørth ❄", "metadata": {"floor": 2, "cold": True, "note": "ä"}})
    assert created.status_code == 201
    entry = created.json()
    assert (entry[f"{noun}Id"], entry["name"]) == ("x-1", "Nørth ❄")
    assert entry["metadata"] == {"floor": 2, "cold": True, "note": "ä"}
    assert entry["createdAt"] == "2025-10-09T08:53:20.000000Z"
    assert (await ask(door, "GET", path, role=Role.VIEWER)).json() == entry
    assert (await ask(door, "GET", f"/{kind}", role=Role.VIEWER)).json() == {kind: [entry]}
    replaced = await ask(door, "PUT", path, {"name": "South"})
    assert (replaced.status_code, replaced.json()) == (200, entry | {"name": "South", "metadata": {}})
    assert (await ask(door, "DELETE", path)).status_code == 204
    assert [(await ask(door, method, path)).status_code for method in ("GET", "DELETE")] == [404, 404]


@pytest.mark.parametrize("kind", BODIES)
async def test_putting_the_same_again_changes_nothing(door: Door, kind: str) -> None:
    first = await ask(door, "PUT", f"/{kind}/x-1", {"name": "a"})
    again = await ask(door, "PUT", f"/{kind}/x-1", {"name": "a"})
    assert (first.status_code, again.status_code, again.content) == (201, 200, first.content)


@pytest.mark.parametrize("kind", BODIES)
async def test_pages_of_entries_follow_each_other_without_overlap(door: Door, kind: str) -> None:
    names = [f"x-{number}" for number in range(7)]
    for name in reversed(names):
        await ask(door, "PUT", f"/{kind}/{name}", {})
    found = await pages(door, f"/{kind}", limit="3")
    assert [[entry[f"{kind[:-1]}Id"] for entry in page] for page in found] == [names[:3], names[3:6], names[6:]]


async def test_the_organization_has_a_name_from_the_first_change_on(door: Door) -> None:
    assert (await ask(door, "GET", "")).json() == {"organizationId": "acme", "name": "", "metadata": {}}
    named = await ask(door, "PATCH", "", {"name": "Acme Foods"})
    assert (named.status_code, named.json()["name"]) == (200, "Acme Foods")
    noted = await ask(door, "PATCH", "", {"metadata": {"tier": "gold"}})
    assert noted.json() == named.json() | {"metadata": {"tier": "gold"}}
    assert (await ask(door, "GET", "", role=Role.VIEWER)).json() == noted.json()


async def test_units_stand_at_registered_sites_and_devices_belong_to_registered_units(door: Door) -> None:
    refused = await ask(door, "PUT", "/units/fridge-1", {"siteId": "harbour"})
    assert refused.status_code == 422
    assert refused.json()["error"]["hint"] == "register the site first, or leave siteId out"
    await ask(door, "PUT", "/sites/harbour", {})
    assert (await ask(door, "PUT", "/units/fridge-1", {"siteId": "harbour"})).status_code == 201
    assert (await ask(door, "PUT", "/devices/tx-1", {"unitId": "fridge-2"})).status_code == 422
    assert (await ask(door, "PUT", "/devices/tx-1", {"unitId": "fridge-1"})).status_code == 201
    await ask(door, "PUT", "/devices/tx-2", {})
    found = (await ask(door, "GET", "/devices", unitId="fridge-1")).json()["devices"]
    assert [(device["deviceId"], device["unitId"]) for device in found] == [("tx-1", "fridge-1")]


async def test_a_site_of_another_organization_is_like_one_that_is_not_registered(door: Door) -> None:
    await ask(door, "PUT", "/api/orgs/globex/sites/theirs", {}, org="globex")
    theirs = await ask(door, "PUT", "/units/u", {"siteId": "theirs"})
    unknown = await ask(door, "PUT", "/units/u", {"siteId": "nobodys"})
    assert (theirs.status_code, theirs.content) == (422, unknown.content)


async def test_a_site_with_units_is_not_removed(door: Door) -> None:
    await ask(door, "PUT", "/sites/harbour", {})
    await ask(door, "PUT", "/units/fridge-1", {"siteId": "harbour"})
    refused = await ask(door, "DELETE", "/sites/harbour")
    assert (refused.status_code, refused.json()["error"]["message"]) == (422, "units are registered at this site")
    await ask(door, "PUT", "/units/fridge-1", {})
    assert (await ask(door, "DELETE", "/sites/harbour")).status_code == 204


@pytest.mark.parametrize("role", [Role.MANAGER, Role.STAFF, Role.VIEWER])
async def test_only_admins_and_owners_write(door: Door, role: Role) -> None:
    for kind in BODIES:
        assert (await ask(door, "PUT", f"/{kind}/x", {}, role=role)).status_code == 403
        assert (await ask(door, "DELETE", f"/{kind}/x", role=role)).status_code == 403
        assert (await ask(door, "GET", f"/{kind}", role=role)).json() == {kind: []}
    assert (await ask(door, "PATCH", "", {"name": "x"}, role=role)).status_code == 403


@pytest.mark.parametrize(("scope", "status"), [(Scope.INGEST, 403), (Scope.READ, 403), (Scope.ADMIN, 201)])
async def test_a_key_writes_with_the_scope_admin_only(door: Door, scope: Scope, status: int) -> None:
    key = (await ask(door, "POST", "/keys", {"scopes": [scope]})).json()["text"]
    answer = await door.client.put("/api/orgs/acme/sites/x", json={}, headers={"X-API-Key": key})
    assert answer.status_code == status
    listed = await door.client.get("/api/orgs/acme/sites", headers={"X-API-Key": key})
    assert listed.status_code == (403 if scope is Scope.INGEST else 200)


@pytest.mark.parametrize("path", ["", *(f"/{kind}{tail}" for kind in BODIES for tail in ("", "/x-1"))])
async def test_what_others_have_is_answered_like_what_does_not_exist(door: Door, path: str) -> None:
    for kind in BODIES:
        await ask(door, "PUT", f"/api/orgs/globex/{kind}/x-1", {"name": "secret"}, org="globex")
    methods = ("GET", "PATCH") if path == "" else ("GET", "PUT", "DELETE") if path.count("/") == 2 else ("GET",)
    for method in methods:
        body = {} if method in ("PUT", "PATCH") else None
        theirs = await ask(door, method, f"/api/orgs/globex{path}", body)
        unknown = await ask(door, method, f"/api/orgs/nobody{path}", body)
        assert theirs.status_code == 404
        assert (theirs.content, theirs.headers.raw) == (unknown.content, unknown.headers.raw)
    for kind in BODIES:
        mine = await ask(door, "GET", f"/{kind}/x-1")
        nobodys = await ask(door, "GET", f"/{kind}/x-2")
        assert (mine.status_code, mine.content) == (404, nobodys.content)
        assert (await ask(door, "GET", f"/api/orgs/globex/{kind}/x-1", org="globex")).json()["name"] == "secret"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/sites/x", {"organizationId": "globex"}, "organizationId"),
        ("/sites/x", {"siteId": "y"}, "siteId"),
        ("/units/x", {"createdAt": "2025-10-09T08:53:20Z"}, "createdAt"),
        ("/units/x", {"siteId": "no id"}, "siteId"),
        ("/units/x", {"name": "x" * 201}, "200"),
        ("/units/x", {"area": "a\nb"}, "area"),
        ("/units/x", {"name": 5}, "name"),
        ("/units/x", {"name": None}, "name"),
        ("/devices/x", {"metadata": {"a": None}}, "metadata"),
        ("/devices/x", {"metadata": {"a": {"b": 1}}}, "metadata"),
        ("/devices/x", {"metadata": {str(number): 1 for number in range(33)}}, "32"),
        ("/devices/x", {"metadata": {"a": "x" * 4096}}, "4096"),
        ("/devices/x", {"metadata": {"a": 2**53 + 1}}, "2^53"),
        ("/devices/x", [], "object"),
        ("/sites/no%20id", {}, "siteId"),
        ("/sites/" + "x" * 129, {}, "siteId"),
    ],
)
async def test_what_is_not_allowed_is_refused_and_named(door: Door, path: str, body: Any, said: str) -> None:
    answer = await ask(door, "PUT", path, body)
    assert answer.status_code == 422
    assert said in answer.text
    assert (await ask(door, "GET", path)).status_code == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/sites", {"limit": "0"}),
        ("/sites", {"limit": "1001"}),
        ("/sites", {"cursor": "no id"}),
        ("/sites", {"siteId": "x"}),
        ("/units", {"siteId": "no id"}),
        ("/devices", {"unitId": ""}),
        ("/devices", {"siteId": "x"}),
        ("/devices/x", {"limit": "1"}),
        ("", {"limit": "1"}),
    ],
)
async def test_a_bad_parameter_is_refused_with_422(door: Door, path: str, query: dict[str, str]) -> None:
    assert (await ask(door, "GET", path, **query)).status_code == 422


async def test_this_node_forgets_what_it_knew_with_every_change(door: Door) -> None:
    await ask(door, "PATCH", "", {"name": "a"})
    await ask(door, "PUT", "/units/x", {})
    await ask(door, "DELETE", "/units/x")
    assert door.changed == ["acme", "acme", "acme"]
    await ask(door, "DELETE", "/units/x")
    await ask(door, "PUT", "/units/no%20id", {})
    assert len(door.changed) == 3
