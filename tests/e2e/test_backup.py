"""Backing up and restoring, and changing the secret, as the guides say, while a server runs."""

from __future__ import annotations

import shutil
import sqlite3

from tests.support.gateway import Gateways, Ledger, assert_nothing_lost
from tests.support.server import ServerProcess, reading
from tests.support.waiting import wait_until

from .test_documentation import blocks


def test_snapshot_of_a_writing_server_is_complete_and_can_be_served(start_server, tmp_path):
    server = start_server(ingest_requests_per_s=1_000_000, ingest_burst_requests=1_000_000)
    organization, ledger = server.organization(), Ledger()
    restored = ServerProcess(tmp_path / "restored")
    restored.data.mkdir(parents=True)
    with Gateways(organization, 2, ledger):
        wait_until(lambda: len(ledger.acknowledged) >= 200, within_s=30, what="acknowledged readings")
        before = dict(ledger.acknowledged)
        with sqlite3.connect(server.data / "sensorcast.db") as database:
            database.execute(documented_snapshot(restored))
        database.close()
    shutil.copy(server.data / "jwt-secret", restored.data)
    restored.start()
    try:
        ledger.acknowledged = before
        assert_nothing_lost(restored, restored.organization(organization.name), ledger)
    finally:
        restored.close()


def documented_snapshot(restored: ServerProcess) -> str:
    """The statement that the guide gives to SQLite, with a target of our own."""
    lines = [line for block in blocks("docs/how-to/backup.md", "sh") for line in block.splitlines()]
    [statement] = [line.split('"')[1] for line in lines if "VACUUM" in line]
    return statement.replace("./backup/sensorcast.db", str(restored.data / "sensorcast.db"))


def test_without_the_old_secret_old_tokens_are_refused_and_keys_go_on(start_server, browser_client):
    server = start_server()
    organization = server.organization()
    old_token = organization.viewer_token
    assert organization.post(reading()).status_code == 200
    server.terminate()
    (server.data / "jwt-secret").unlink()
    server.restart()
    refused = browser_client(server.url, token=old_token).wait_for("connect_error")
    assert refused["data"]["code"] == "unauthenticated"
    browser_client(server.url, token=organization.token()).connected()
    assert organization.post(reading()).status_code == 200
