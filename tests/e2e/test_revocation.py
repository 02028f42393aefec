"""Revocation on running servers, from another process or node: connections are cut within 5 s, also after a restart."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sensorcast import auth
from sensorcast.model import Role
from tests.support.node import NodeClient
from tests.support.postgres import PostgresServer
from tests.support.server import Organization, ServerProcess, reading
from tests.support.two_nodes import JWT_SECRET, TwoNodes
from tests.support.waiting import wait_until

CUT_WITHIN_S = 5.0

pytestmark = pytest.mark.real_time


def test_revoked_users_are_cut_and_stay_out(
    start_server: Callable[..., ServerProcess], browser_client: Callable[..., NodeClient]
) -> None:
    server = start_server()
    acme, globex = server.organization("acme"), server.organization("globex")
    client = browser_client(server.url, token=acme.viewer_token)
    other = browser_client(server.url, token=globex.viewer_token)
    client.connected()
    other.connected()

    server.run_cli("revoke", "--org", "acme", "--user", "test")
    started_s = time.monotonic()
    assert client.wait_for("disconnect")["reason"] == "io server disconnect"
    assert time.monotonic() - started_s < CUT_WITHIN_S
    assert acme.get("units").status_code == 401
    assert globex.get("units").status_code == 200

    server.terminate()
    server.restart()
    assert acme.get("units").status_code == 401
    refused = browser_client(server.url, token=acme.viewer_token).wait_for("connect_error")
    assert refused["data"]["code"] == "unauthenticated"


def test_a_revoked_key_sends_nothing_more(shared_server: ServerProcess, organization: Organization) -> None:
    assert organization.post(reading()).status_code == 200
    shared_server.run_cli("keys", "revoke", "--org", organization.name, organization.key.split("_")[1])
    wait_until(
        lambda: organization.post(reading()).status_code == 401, within_s=CUT_WITHIN_S, what="the key is refused"
    )


@pytest.fixture(params=["postgres", "postgres and redis"])
def two_nodes(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> Iterator[TwoNodes]:
    redis_url = request.getfixturevalue("shared_redis").url if "redis" in request.param else ""
    nodes = TwoNodes.start(tmp_path, postgres, redis_url)
    yield nodes
    nodes.close()


def token_of(subject: str, organization: Organization) -> str:
    return auth.mint_token(
        JWT_SECRET.encode(),
        organization_id=organization.name,
        role=Role.STAFF,
        subject=subject,
        ttl_s=3_600,
        now_s=time.time(),
    )


def token_id(token: str) -> str:
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["jti"])


def assert_cut(client: NodeClient, revoked_s: float) -> None:
    assert client.wait_for("disconnect")["reason"] == "io server disconnect"
    assert time.monotonic() - revoked_s < CUT_WITHIN_S


def is_connected(client: NodeClient) -> bool:
    return client.call("ping") > 0 and "disconnect" not in {each["is"] for each in client.seen}


def test_what_one_node_revokes_is_cut_at_the_other_and_stays_out_over_a_restart(
    two_nodes: TwoNodes, browser_client: Callable[..., NodeClient]
) -> None:
    here, there = two_nodes.organization()
    _, others = two_nodes.organization()
    owner = {"Authorization": f"Bearer {here.token(role='owner')}"}
    admin_api = f"/api/orgs/{here.name}"
    made = here.server.http.post(f"{admin_api}/keys", json={"scopes": ["read", "ingest"]}, headers=owner).json()
    credentials = {subject: token_of(subject, here) for subject in ("token", "user", "member")} | {"key": made["text"]}
    clients = {name: browser_client(there.server.url, token=text) for name, text in credentials.items()}
    stranger = browser_client(there.server.url, token=others.viewer_token).connected()
    for client in clients.values():
        client.connected()

    def revoke(kind: str, subject: str = "") -> float:
        body = {"kind": kind} | ({"subject": subject} if subject else {})
        answer = here.server.http.post(f"{admin_api}/revocations", json=body, headers=owner)
        assert answer.status_code == 201, answer.text
        return time.monotonic()

    assert_cut(clients["token"], revoke("token", token_id(credentials["token"])))
    assert_cut(clients["user"], revoke("user", "user"))
    answer = here.server.http.delete(f"{admin_api}/keys/{made['key']['keyId']}", headers=owner)
    assert_cut(clients["key"], time.monotonic())
    assert answer.status_code == 204
    sent = there.server.http.post(
        "/api/ingest/readings", json={"readings": [reading()]}, headers={"X-API-Key": made["text"]}
    )
    assert sent.status_code == 401
    assert is_connected(clients["member"])
    assert_cut(clients["member"], revoke("organization"))
    assert is_connected(stranger)

    there.server.terminate()
    there.server.restart()
    for name, text in credentials.items():
        assert there.server.http.get(f"{admin_api}/units", headers={"Authorization": f"Bearer {text}"}).status_code == (
            401
        ), name
        refused = browser_client(there.server.url, token=text).wait_for("connect_error")
        assert refused["data"]["code"] == "unauthenticated", name
    assert others.get("units").status_code == 200
