"""Which pages may connect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorcast.transport.origin import cors_headers, is_allowed

LISTED = ("https://dash.test", "http://localhost:3000", "https://slash.test/")
CASES = {
    "not a page": (None, "server.test", True),
    "own": ("http://server.test", "server.test", True),
    "own behind a proxy that ends TLS": ("https://server.test", "server.test", True),
    "own with a port": ("http://server.test:8080", "server.test:8080", True),
    "own with the default port": ("http://server.test", "server.test:80", True),
    "own with the default port of TLS": ("https://server.test:443", "server.test", True),
    "own in capitals": ("http://SERVER.test", "server.TEST", True),
    "own by address": ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
    "own by IPv6 address": ("http://[::1]:8080", "[::1]:8080", True),
    "listed": ("https://dash.test", "server.test", True),
    "listed with a slash": ("https://dash.test/", "server.test", True),
    "listed with a slash by the operator": ("https://slash.test", "server.test", True),
    "listed with a port": ("http://localhost:3000", "server.test", True),
    "another": ("https://evil.test", "server.test", False),
    "own name, other port": ("http://server.test:81", "server.test", False),
    "listed name, other port": ("http://localhost:3001", "server.test", False),
    "listed name, other scheme": ("http://dash.test", "server.test", False),
    "own name as a part": ("http://server.test.evil.test", "server.test", False),
    "own name as an ending": ("http://evil-server.test", "server.test", False),
    "own name as a user": ("http://server.test@evil.test", "server.test", False),
    "sandboxed": ("null", "server.test", False),
    "empty": ("", "server.test", False),
    "other scheme": ("ftp://server.test", "server.test", False),
    "extension": ("chrome-extension://server.test", "server.test", False),
    "file": ("file://", "server.test", False),
    "port that is no number": ("http://server.test:x", "server.test", False),
    "port out of range": ("http://server.test:99999", "server.test", False),
    "open bracket": ("http://[server.test", "server.test", False),
    "no host of our own": ("http://server.test", None, False),
    "empty host of our own": ("http://server.test", "", False),
    "broken host of our own": ("http://server.test", "[", False),
}


@pytest.mark.parametrize(("origin", "host", "allowed"), CASES.values(), ids=CASES.keys())
def test_a_page_may_connect_from_our_origin_or_a_listed_one(
    origin: str | None, host: str | None, allowed: bool
) -> None:
    assert is_allowed(origin, host, LISTED) == allowed


@pytest.mark.parametrize("origin", ["https://evil.test", "null", ""])
def test_a_star_allows_every_page(origin: str) -> None:
    assert is_allowed(origin, None, ["*"])


@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_no_header_makes_the_check_raise(origin: str, host: str | None) -> None:
    assert is_allowed(origin, host, LISTED) in {True, False}


def test_an_answer_names_the_origin_that_may_read_it() -> None:
    assert (b"access-control-allow-origin", b"https://dash.test") in cors_headers("https://dash.test")
    assert (b"vary", b"Origin") in cors_headers("https://dash.test")
    assert cors_headers(None) == []
