"""Requests that two servers could read differently: one of ours reads them one way only, and never the hidden one."""

from __future__ import annotations

import socket

import pytest

from tests.support.server import ServerProcess

HIDDEN = b"GET /healthz?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /api/ingest/readings HTTP/1.1\r\nHost: x\r\n"

CORPUS = {
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + HIDDEN,
    "two equal lengths": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "list of lengths": POST + b"Content-Length: 0, 44\r\n\r\n" + HIDDEN,
    "negative length": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "signed length": POST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "hexadecimal length": POST + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "huge length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + HIDDEN,
    "chunked last but not only": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "blank before the colon": POST + b"Content-Length : 44\r\n\r\n" + HIDDEN,
    "folded header": POST + b"X-A: b\r\n Content-Length: 44\r\n\r\n" + HIDDEN,
    "nul in a header": POST + b"X-A: b\x00Content-Length: 44\r\n\r\n" + HIDDEN,
    "return within a header": POST + b"X-A: b\rContent-Length: 44\r\n\r\n" + HIDDEN,
    "chunk size with sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + HIDDEN,
    "chunk size with prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + HIDDEN,
    "chunk size too large": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n" + HIDDEN,
    "chunk longer than said": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "no version": b"POST /api/ingest/readings\r\n\r\n" + HIDDEN,
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "blank in the path": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
    "line break in the path": b"GET /a\r\nX: HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
}
ONE_WAY = {"two equal lengths", "folded header"}
"""What the standard lets a server repair; then the second request is a second request, and no hidden one."""


QUIET_S = 0.5
"""The server answers within milliseconds; half a second without a byte is its last word."""


def exchange(server: ServerProcess, raw: bytes) -> bytes:
    """Send bytes, leave the connection open, and give everything that comes back until it is quiet or closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=QUIET_S) as peer:
        peer.sendall(raw)
        answer = b""
        try:
            while part := peer.recv(65_536):
                answer += part
        except (ConnectionResetError, TimeoutError):
            pass
        return answer


@pytest.mark.parametrize("name", CORPUS)
def test_the_hidden_request_is_not_answered(shared_server: ServerProcess, name: str) -> None:
    answer = exchange(shared_server, CORPUS[name])
    statuses = [line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert all(status.startswith(b"4") for status in statuses[:1])
    if name not in ONE_WAY:
        assert b'"status":"ok"' not in answer
    assert shared_server.http.get("/healthz").status_code == 200


def test_two_requests_that_are_clear_are_both_answered(shared_server: ServerProcess) -> None:
    assert exchange(shared_server, HIDDEN + HIDDEN).count(b'"status":"ok"') == 2
