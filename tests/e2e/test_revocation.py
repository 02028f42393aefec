"""Revocation on a running server, from another process: connections are cut within 5 s and stay out over a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.node import NodeClient
from tests.support.server import Organization, ServerProcess, reading
from tests.support.waiting import wait_until

CUT_WITHIN_S = 5.0


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
