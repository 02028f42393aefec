"""A request that arrives whole, and so may go the short way, gets the answer of one that drips in byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import pytest

from tests.support.server import Organization, ServerProcess, reading

START_US = time.time_ns() // 1_000 - 3_600_000_000
WAIT_S = 10.0


def request(key: str, body: bytes, *lines: str, length: int | None = None, path: str = "/api/ingest/readings") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", f"X-API-Key: {key}", *lines]
    head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode() + body


def items(unit_id: str, *values: object) -> bytes:
    found = [reading(unit_id, at_us=START_US + place, temperature=value) for place, value in enumerate(values)]
    return json.dumps({"readings": found}).encode()


def requests(key: str, unit_id: str) -> dict[str, bytes]:
    """Requests that are answered; `unit_id` keeps their readings apart from those of others."""
    good = items(unit_id, 4.5)
    return {
        "good": request(key, good),
        "good again": request(key, good),
        "conflict": request(key, items(unit_id, 5.5)),
        "several": request(key, items(unit_id, *range(50))),
        "with a type": request(key, items(unit_id, 4.5), "Content-Type: application/json; charset=utf-8"),
        "kept alive": request(key, good, "Connection: keep-alive"),
        "one bad": request(key, items(unit_id, 4.5, 99_999, "warm")),
        "all bad": request(key, items(unit_id, 99_999)),
        "no items": request(key, b'{"readings":[]}'),
        "no JSON": request(key, b"x"),
        "name twice": request(key, b'{"readings":[{"unitId":"a","unitId":"b"}]}'),
        "other type": request(key, good, "Content-Type: text/plain"),
        "other charset": request(key, good, "Content-Type: application/json; charset=latin-1"),
        "claimed gzip": request(key, good, "Content-Encoding: gzip"),
        "unknown coding": request(key, good, "Content-Encoding: br"),
        "forwarded": request(key, good, "X-Forwarded-For: 192.0.2.7"),
        "no key": request("", good),
        "another key": request(key[:-1] + ("0" if key[-1] != "0" else "1"), good),
        "two keys": request(key, good, f"X-API-Key: {key}"),
        "no body": request(key, b""),
        "expecting": request(key, good, "Expect: 100-continue"),
        "closing": request(key, good, "Connection: close"),
        "query": request(key, good, path="/api/ingest/readings?a=b"),
        "elsewhere": request(key, good, path="/api/ingest/reading"),
        "two lengths": request(key, good, f"Content-Length: {len(good)}"),
        "blank before the colon": request(key, good, "X-A : b"),
        "folded": request(key, good, "X-A: b\r\n c"),
        "nul": request(key, good, "X-A: b\x00"),
    }


def answer(server: ServerProcess, raw: bytes, *, dribble: bool) -> tuple[str, list[str], str]:
    """Send a request, whole or byte by byte, and give status, headers without the date, and body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # refused before all of it was sent
            for at in range(len(raw) if dribble else 1):
                peer.sendall(raw[at : at + 1] if dribble else raw)
        received = peer.makefile("rb")
        status = received.readline()
        while status.startswith(b"HTTP/1.1 100 "):
            received.readline()
            status = received.readline()
        headers = list(iter(lambda: received.readline().strip(), b""))
        length = next(int(line[15:]) for line in headers if line.startswith(b"content-length:"))
        shown = [line.decode() for line in headers if not line.startswith(b"date:")]
        return status.decode(), shown, received.read(length).decode()


@pytest.mark.parametrize("name", requests("any", ""))
def test_a_request_gets_the_same_answer_whole_and_byte_by_byte(
    shared_server: ServerProcess, organization: Organization, name: str
) -> None:
    key = organization.key
    shown = []
    for unit_id, dribble in [("u-1", False), ("u-2", True)]:
        answer(shared_server, request(key, items(unit_id, 4.5)), dribble=False)  # key and unit are known from here on
        status, headers, body = answer(shared_server, requests(key, unit_id)[name], dribble=dribble)
        document = json.loads(body) if body.startswith("{") else body
        if isinstance(document, dict) and "readingIds" in document:
            document["readingIds"] = [each is not None for each in document["readingIds"]]
        shown.append((status, headers, document))
    assert shown[0] == shown[1]
