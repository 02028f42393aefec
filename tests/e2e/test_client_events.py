"""What a stock npm client may say and gets back: greeting, queries, subscriptions, refusals, and nonsense."""

from __future__ import annotations

import time

import jwt
import pytest

from tests.support.server import reading

EVENTS = [
    "get:latest", "get:latest:all", "subscribe:unit", "subscribe:organization", "unsubscribe:unit",
    "unsubscribe:organization", "ping",
]  # fmt: skip
NONSENSE = [
    None, True, -1, 1.5e308, "", "no such id", "\u0000", "x" * 5_000, "__proto__", "../../etc", [], {}, [[[]]],
    {"__proto__": {"a": 1}}, {"token": 5}, {"unitId": "unit-1"},
]  # fmt: skip


@pytest.fixture
def client(organization, browser_client):
    """A connected viewer of `organization`."""
    return browser_client(organization.server.url, token=organization.viewer_token).connected()


def test_greeting_names_the_socket_and_the_time(client):
    [greeting] = client.wait_for_event("connection:ack")["args"]
    assert greeting["socketId"] == client.wait_for("connect")["id"]
    assert set(greeting) >= {"socketId", "timestamp"}


def test_ping_answers_the_servers_time_in_milliseconds(client):
    assert client.call("ping") == pytest.approx(time.time() * 1000, abs=2_000)


def test_get_latest_follows_the_newest_reading_and_ignores_late_ones(organization, client):
    now_us = time.time_ns() // 1000
    organization.post(reading("unit-1", at_us=now_us, temperature=2.0))
    organization.post(reading("unit-1", at_us=now_us - 60_000_000, temperature=1.0))
    assert client.call("get:latest", "unit-1")["temperature"] == 2.0


def test_socket_in_unit_and_organization_room_gets_each_batch_once(organization, client):
    assert client.call("subscribe:unit", "unit-1") == {"ok": True}
    assert client.call("subscribe:organization", organization.name) == {"ok": True}
    ids = []
    for _ in range(3):
        [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
        client.wait_for_reading(reading_id)
        ids.append(reading_id)
    assert [item["id"] for item in client.readings()] == ids


def test_units_stream_follows_only_what_it_subscribed_to(organization, browser_client):
    client = browser_client(
        organization.server.url, token=organization.viewer_token, auth={"stream": "units"}
    ).connected()
    assert client.call("subscribe:unit", "wanted") == {"ok": True}
    organization.post(reading("unwanted"))
    [reading_id] = organization.post(reading("wanted")).json()["readingIds"]
    client.wait_for_reading(reading_id)
    assert [batch["unitId"] for batch in client.batches()] == ["wanted"]


def test_unsubscribed_unit_is_silent(organization, browser_client):
    client = browser_client(
        organization.server.url, token=organization.viewer_token, auth={"stream": "units"}
    ).connected()
    for unit_id in ("first", "second"):
        client.call("subscribe:unit", unit_id)
    assert client.call("unsubscribe:unit", "first") == {"ok": True}
    organization.post(reading("first"))
    [reading_id] = organization.post(reading("second")).json()["readingIds"]
    client.wait_for_reading(reading_id)
    assert [batch["unitId"] for batch in client.batches()] == ["second"]


@pytest.mark.parametrize("event", EVENTS)
def test_handler_is_harmless_without_an_ack_and_with_nonsense(organization, browser_client, event):
    client = browser_client(organization.server.url, token=organization.viewer_token).connected()
    client.emit(event)
    for argument in NONSENSE:
        client.emit(event, argument)
    client.emit(event, *NONSENSE)
    assert client.call("ping")
    assert "disconnect" not in {seen["is"] for seen in client.seen}


def test_event_nobody_knows_is_harmless(client):
    client.emit("no:such:event", {"a": 1})
    assert client.call("ping")


@pytest.mark.parametrize("argument", [None, 5, "bad id", "x" * 200, {"a": 1}, []])
def test_subscribing_to_something_that_is_no_id_is_refused_in_the_ack(client, argument):
    answer = client.call("subscribe:unit", argument)
    assert answer["ok"] is False
    assert answer["error"]


def token_with(organization, **claims):
    """Sign a token as the server does, with claims of one's own; None leaves a claim out."""
    secret_file = next(path for path in organization.server.data.iterdir() if "secret" in path.name)
    merged = {"sub": "mallory", "org": organization.name, "role": "viewer", "exp": time.time() + 60, **claims}
    known = {name: value for name, value in merged.items() if value is not None}
    return jwt.encode(known, secret_file.read_bytes().strip(), algorithm="HS256")


def test_signed_token_with_good_claims_connects(organization, browser_client):
    browser_client(organization.server.url, token=token_with(organization)).connected()


@pytest.mark.parametrize(
    ("claims", "codes"),
    [
        ({"exp": 1_000_000_000}, {"token_expired"}),
        ({"exp": None}, {"unauthenticated"}),
        ({"exp": "soon"}, {"unauthenticated"}),
        ({"org": None}, {"unauthenticated", "forbidden"}),
        ({"org": 5}, {"unauthenticated", "forbidden"}),
        ({"role": "emperor"}, {"unauthenticated", "forbidden"}),
        ({"sub": None}, {"unauthenticated"}),
        ({"nbf": 4_000_000_000}, {"unauthenticated"}),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_token_with_wrong_claims_is_refused_with_a_code(organization, browser_client, claims, codes):
    client = browser_client(organization.server.url, token=token_with(organization, **claims))
    assert client.wait_for("connect_error")["data"]["code"] in codes


@pytest.mark.parametrize(
    "token", ["", "nonsense", "a.b.c", "x" * 20_000, "eyJhbGciOiJub25lIn0.eyJvcmciOiJhIiwic3ViIjoiYiJ9."]
)
def test_text_that_is_no_token_is_refused_with_a_code(organization, browser_client, token):
    client = browser_client(organization.server.url, token=token)
    assert client.wait_for("connect_error")["data"]["code"] == "unauthenticated"


@pytest.mark.parametrize("auth", [{}, {"token": None}, {"token": 5}, {"token": {"a": 1}}, {"token": []}])
def test_handshake_without_a_token_text_is_refused_with_a_code(organization, browser_client, auth):
    client = browser_client(organization.server.url, auth=auth)
    assert client.wait_for("connect_error")["data"]["code"] == "unauthenticated"


def test_refused_client_gets_no_event(organization, browser_client):
    client = browser_client(organization.server.url, auth={})
    client.wait_for("connect_error")
    canary = browser_client(organization.server.url, token=organization.viewer_token).connected()
    [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
    canary.wait_for_reading(reading_id)
    assert "event" not in {seen["is"] for seen in client.seen}
