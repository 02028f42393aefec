"""The written table of roles against a running server: every operation of the API, as every role and scope."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sensorcast.web import openapi
from tests.support.server import Organization

ROOT = Path(__file__).resolve().parent.parent.parent
ROLES = ("owner", "admin", "manager", "staff", "viewer")
SCOPES = {"read": "viewer", "admin": "admin", "ingest": None}
"""As whom a key acts, as the page says below its table."""
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
OPERATIONS = [
    (method.upper(), path)
    for path, methods in openapi.document()["paths"].items()
    for method in methods
    if path not in OPEN and path != openapi.INGEST_PATH
]


def written_table() -> dict[str, set[str]]:
    """What the page says: the roles that may, by the words of each row."""
    text = (ROOT / "docs/reference/roles.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "| yes |" in line]
    return {what: {role for role, cell in zip(ROLES, cells, strict=False) if cell == "yes"} for what, *cells in rows}


def row_of(method: str, path: str) -> str:
    """The words with which the row of an operation begins."""
    if path == "/api/stats":
        return "see usage"
    if "/keys" in path:
        return "create, list and revoke API keys"
    if "/revocations" in path:
        return "revoke tokens and users"
    return "see readings" if method == "GET" else "name, place and remove"


def may(method: str, path: str) -> set[str]:
    """The roles that may, by the page."""
    [roles] = [roles for what, roles in written_table().items() if what.startswith(row_of(method, path))]
    return roles


def ask(organization: Organization, method: str, path: str, headers: dict[str, str]) -> int:
    """Ask with a body that nobody could want: who may is told what is wrong with it, nobody changes anything."""
    address = re.sub(r"\{\w+\}", "x-1", path.replace("{organizationId}", organization.name))
    body = None if method in {"GET", "DELETE"} else {"nonsense": True}
    return organization.server.http.request(method, address, json=body, headers=headers).status_code


def test_the_page_has_every_role() -> None:
    assert set().union(*written_table().values()) == set(ROLES)
    assert written_table()["revoke every credential of the organization"] == {"owner"}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_over_http_what_the_page_says_and_nothing_else(organization: Organization, role: str) -> None:
    headers = {"Authorization": f"Bearer {organization.token(role=role)}"}
    got = {(method, path): ask(organization, method, path, headers) for method, path in OPERATIONS}
    assert len(got) > 20
    assert {each for each, status in got.items() if status in {401, 403}} == {
        each for each in OPERATIONS if role not in may(*each)
    }
    assert max(got.values()) < 500
    sent = organization.server.http.post(openapi.INGEST_PATH, json={"readings": [{}]}, headers=headers)
    assert sent.status_code == 401  # readings are sent with keys only


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_may_do_over_http_what_the_role_of_its_scope_may(organization: Organization, scope: str) -> None:
    owner = {"Authorization": f"Bearer {organization.token(role='owner')}"}
    address = f"/api/orgs/{organization.name}/keys"
    made = organization.server.http.post(address, json={"scopes": [scope]}, headers=owner).json()
    headers, role = {"X-API-Key": made["text"]}, SCOPES[scope]
    got = {(method, path): ask(organization, method, path, headers) for method, path in OPERATIONS}
    assert {each for each, status in got.items() if status in {401, 403}} == {
        each for each in OPERATIONS if role not in may(*each)
    }
    sent = organization.server.http.post(openapi.INGEST_PATH, json={"readings": [{}]}, headers=headers)
    assert sent.status_code == (200 if scope == "ingest" else 403)
