"""Every answer of the process tells a browser not to guess, frame, leak or load: each route and each refusal."""

from __future__ import annotations

import json
import re
import socket

import pytest

from sensorcast.http_errors import ANSWER_FIELDS
from sensorcast.web import openapi
from sensorcast.web.security import PAGE_POLICY
from tests.support.server import Organization, ServerProcess, reading

WAIT_S = 20.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
ADDRESSES = [*openapi.document()["paths"], "/nothing", "/api/", "/static/nothing", "/static/../x", "//", "/socket.io"]
FILES = ("/", "/docs", "/static/js/main.js", "/static/sensorcast.d.ts")
ALWAYS = {name.decode(): value.decode() for name, value in ANSWER_FIELDS}
GUESSER = "198.51.100.77"
"""Whose wrong tokens end in 429, not those of other tests."""
KEPT = {"content-security-policy", "cache-control"}
"""What depends on the answer: a page may load what is ours, a file may be kept."""

POLL = "/socket.io/?EIO=4&transport=polling"
KEY = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
SOCKET = "/socket.io/?EIO=4&transport=websocket"


def request(line: str, *lines: str, body: str = "") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: a", *lines, "", body]).encode()


REFUSED = {
    "no HTTP": (400, b"hello\r\n\r\n"),
    "two lengths": (400, request("POST /", "Content-Length: 1", "Content-Length: 2", body="xx")),
    "length and coding": (400, request("POST /", "Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    "nul in a header": (400, request("GET /", "X-A: b\x00")),
    "large head": (431, request("GET /", "X-A: " + "b" * 40_000)),
    "long address": (431, request("GET /" + "b" * 40_000)),
    "many headers": (431, request("GET /", *(f"X-{number}: b" for number in range(150)))),
    "websocket elsewhere": (404, request("GET /elsewhere", *UPGRADE, KEY)),
    "websocket without a version": (400, request("GET /socket.io/?transport=websocket", *UPGRADE, KEY)),
    "websocket without a key": (400, request(f"GET {SOCKET}", *UPGRADE)),
    "websocket of another version": (426, request(f"GET {SOCKET}", *UPGRADE[:2], "Sec-WebSocket-Version: 8", KEY)),
    "websocket of another site": (403, request(f"GET {SOCKET}", *UPGRADE, KEY, "Origin: https://other.example")),
    "websocket of no session": (400, request(f"GET {SOCKET}&sid=none", *UPGRADE, KEY)),
    "poll of no session": (400, request(f"GET {POLL}&sid=none")),
    "poll of another version": (400, request("GET /socket.io/?EIO=3&transport=polling")),
    "poll of another site": (403, request(f"GET {POLL}", "Origin: https://other.example")),
    "poll with another method": (400, request(f"DELETE {POLL}")),
    "question of another site": (403, request(f"OPTIONS {POLL}", "Origin: https://other.example")),
    "no transport": (400, request("GET /socket.io/")),
    "ingest without a key": (401, request("POST /api/ingest/readings", "Content-Length: 2", body="{}")),
    "ingest read only": (405, request("GET /api/ingest/readings")),
}


def asked(server: ServerProcess, raw: bytes) -> tuple[int, dict[str, str]]:
    """Send bytes; give status and headers, by lower-case name, of the first answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as peer:
        peer.sendall(raw)
        received = peer.makefile("rb")
        status = received.readline().decode()
        pairs = [line.decode().split(":", 1) for line in iter(lambda: received.readline().strip(), b"")]
        assert len({name.lower() for name, _ in pairs}) == len(pairs), f"repeated: {pairs}"
        return int(status.split(" ")[1]), {name.lower(): value.strip() for name, value in pairs}


def lacking(headers: dict[str, str]) -> set[str]:
    """Name what an answer that is no page and no file lacks, or says otherwise."""
    return {name for name, value in ALWAYS.items() if headers.get(name) != value}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_door_refuses_has_the_headers(shared_server: ServerProcess, name: str) -> None:
    expected, raw = REFUSED[name]
    status, headers = asked(shared_server, raw)
    assert (status, lacking(headers)) == (expected, set())


def test_every_address_has_the_headers_whatever_the_method_and_whoever_asks(organization: Organization) -> None:
    seen = set()
    who = [{}, {"Authorization": f"Bearer {organization.token(role='owner')}"}]
    for method in METHODS:
        for address in ADDRESSES:
            path = re.sub(r"\{\w+\}", "x-1", address.replace("{organizationId}", organization.name))
            for headers in who:
                answer = organization.server.http.request(method, path, headers=headers)
                seen.add(answer.status_code)
                wrong = lacking(dict(answer.headers)) - (KEPT if answer.is_success else set())
                assert not wrong, (method, path, answer.status_code, wrong)
                assert set(answer.headers) >= KEPT
    assert {200, 400, 401, 404, 405} <= seen


def test_who_guesses_too_often_is_told_so_with_the_headers(organization: Organization) -> None:
    guess = {"Authorization": "Bearer x.y.z", "X-Forwarded-For": GUESSER}
    address = f"/api/orgs/{organization.name}/units"
    answers = [organization.server.http.get(address, headers=guess) for _ in range(200)]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert [lacking(dict(answer.headers)) for answer in answers] == [set()] * 200


@pytest.mark.parametrize("path", FILES)
def test_pages_and_files_have_the_headers_with_a_policy_of_their_own(shared_server: ServerProcess, path: str) -> None:
    first = shared_server.http.get(path)
    assert first.status_code == 200
    assert lacking(dict(first.headers)) <= KEPT
    assert first.headers["content-security-policy"] in {PAGE_POLICY, ALWAYS["content-security-policy"]}
    if "etag" in first.headers:
        known = shared_server.http.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert known.status_code == 304
        assert lacking(dict(known.headers)) <= KEPT


def test_a_polling_session_has_the_headers_from_its_opening_to_its_end(shared_server: ServerProcess) -> None:
    http = shared_server.http
    opened = http.get(POLL)
    here = f"{POLL}&sid={json.loads(opened.text[1:])['sid']}"
    answers = [opened, http.post(here, content="40{}"), http.get(here), http.post(here, content="x" * 200_000)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 413]
    assert [lacking(dict(answer.headers)) for answer in answers] == [set()] * 4
    preflight = http.options(POLL, headers={"Origin": shared_server.url})
    assert (preflight.status_code, lacking(dict(preflight.headers))) == (204, set())


def test_both_ways_of_readings_have_the_headers(organization: Organization) -> None:
    body = json.dumps({"readings": [reading()]})
    lines = (f"X-API-Key: {organization.key}", f"Content-Length: {len(body)}")
    long_way = request("POST /api/ingest/readings", *lines, "Connection: close", body=body)
    short_way = request("POST /api/ingest/readings", *lines, body=body)
    for raw in (long_way, short_way):  # the first makes the key known
        status, headers = asked(organization.server, raw)
        assert (status, lacking(headers)) == (200, set())
