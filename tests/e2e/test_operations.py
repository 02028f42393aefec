"""What an operator uses: health, readiness, figures, metrics, logs, keys and tokens from the command line."""

from __future__ import annotations

import re

import pytest

from tests.support.server import reading
from tests.support.waiting import wait_until


def test_health_and_readiness_answer_without_a_credential(shared_server):
    assert [shared_server.http.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


def test_stats_are_of_the_own_organization(shared_server, browser_client):
    mine, other = shared_server.organization(), shared_server.organization()
    other.post(*(reading(f"unit-{number}") for number in range(5)))
    mine.post(reading("unit-1"))
    browser_client(shared_server.url, token=mine.viewer_token).connected()
    stats = mine.get("/api/stats", role="admin").json()
    assert set(stats) >= {"bufferedReadings", "cachedUnits", "bufferKeys", "connections", "flush"}
    assert set(stats["flush"]) >= {"readings", "units", "durationMs"}
    assert (stats["cachedUnits"], stats["connections"]) == (1, 1)


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("admin", 200), ("manager", 403), ("viewer", 403)])
def test_stats_are_for_admins_and_owners(organization, role, status):
    assert organization.get("/api/stats", role=role).status_code == status


def test_metrics_hold_no_id_from_outside(organization, browser_client):
    client = browser_client(organization.server.url, token=organization.token()).connected()
    client.call("subscribe:unit", "unit-of-the-metrics-test")
    sent = organization.post(reading("unit-of-the-metrics-test", deviceId="device-of-it", temperature=1))
    client.wait_for_reading(sent.json()["readingIds"][0])
    greeting = client.wait_for_event("connection:ack")["args"][0]
    answer = organization.server.http.get("/metrics")
    assert answer.status_code == 200
    assert "sensorcast_ingest_readings_total" in answer.text
    from_outside = [organization.name, "unit-of-the-metrics-test", "device-of-it", greeting["socketId"]]
    from_outside += [organization.key.split("_")[1], *sent.json()["readingIds"]]
    assert [each for each in from_outside if each in answer.text] == []
    users = {label[1] for label in re.finditer(r'="([^"]*)"', answer.text)}
    assert "test" not in users  # the subject of every token here


def test_each_flush_with_readings_writes_one_log_line(start_server):
    organization = start_server(flush_interval_ms=100).organization()
    organization.post(reading("unit-1"), reading("unit-2"))
    wait_until(lambda: flush_lines(organization.server), within_s=30, what="a log line of the flush")
    [line] = flush_lines(organization.server)
    assert (line["readings"], line["units"]) == (2, 2)
    assert [name for name in line if name.startswith("duration")]


def test_log_says_where_the_server_listens_and_that_it_stopped(start_server):
    server = start_server()
    server.terminate()
    events = {line["event"]: line for line in server.log_lines()}
    assert events["listening"]["url"] == server.url
    assert "stopped" in events


def flush_lines(server):
    """The log lines about flushes so far."""
    return [line for line in server.log_lines() if "flush" in line.get("event", "") and line.get("readings")]


def test_latest_and_history_answer_over_http(organization):
    [reading_id] = organization.post(reading("unit-1", temperature=4.5)).json()["readingIds"]
    assert organization.get("units/unit-1/latest").json()["id"] == reading_id
    assert [unit["unitId"] for unit in organization.get("units").json()["units"]] == ["unit-1"]
    page = organization.get("units/unit-1/readings").json()
    assert [item["id"] for item in page["readings"]] == [reading_id]


def test_query_without_a_token_is_refused(organization):
    assert organization.server.http.get(f"/api/orgs/{organization.name}/units").status_code == 401


def test_revoked_key_is_refused_within_its_cache_time(start_server):
    server = start_server(key_cache_s=0.2)
    organization = server.organization()
    assert organization.post(reading()).status_code == 200
    key_id = organization.key.split("_")[1]
    assert key_id in server.run_cli("keys", "list", "--org", organization.name)
    server.run_cli("keys", "revoke", "--org", organization.name, key_id)
    wait_until(lambda: organization.post(reading()).status_code == 401, within_s=30, what="a refused key")


def test_key_and_token_from_the_command_line_work(shared_server, browser_client):
    name = shared_server.organization().name
    key = shared_server.run_cli("keys", "create", "--org", name, "--name", "gateway").strip()
    token = shared_server.run_cli("token", "--org", name, "--role", "staff", "--ttl", "5m").strip()
    client = browser_client(shared_server.url, token=token).connected()
    answer = shared_server.http.post("/api/ingest/readings", json={"readings": [reading()]}, headers={"X-API-Key": key})
    client.wait_for_reading(answer.json()["readingIds"][0])


def test_key_is_shown_once_and_never_stored_or_logged(organization):
    organization.post(reading())
    secret = organization.key.split("_")[2]
    listing = organization.server.run_cli("keys", "list", "--org", organization.name)
    assert secret not in listing
    files = [path for path in organization.server.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if secret.encode() in path.read_bytes()] == []


def test_generated_secret_is_readable_by_its_owner_only(shared_server):
    [secret] = [path for path in shared_server.data.iterdir() if "secret" in path.name]
    assert secret.stat().st_mode & 0o777 == 0o600
