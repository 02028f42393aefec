"""Which browser pages may connect: our own origin, and those of an allow-list.

Owns the Origin check of handshakes (websocket and polling) and the CORS headers of polling. The invariant: a page of
another site never gets a session unless an operator listed its origin; requests without Origin are not from a page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_allowed(origin: str | None, host: str | None, allowed: Iterable[str]) -> bool:
    """Tell whether a request with these Origin and Host headers may open a session.

    Only host and port are compared with our own: a proxy in front may have ended TLS, so our scheme is not the page's.
    """
    if origin is None:
        return True
    listed = {entry.rstrip("/") for entry in allowed}
    if ANY in listed or origin.rstrip("/") in listed:
        return True
    return host is not None and _same_host(origin, host)


def _same_host(origin: str, host: str) -> bool:
    try:
        page, own = urlsplit(origin), urlsplit(f"//{host}")
        default = _DEFAULT_PORTS.get(page.scheme)
        if page.hostname is None or default is None:
            return False
        return page.hostname == own.hostname and (page.port or default) == (own.port or default)
    except ValueError:
        return False


def cors_headers(origin: str | None) -> list[tuple[bytes, bytes]]:
    """Headers that let the page of an allowed `origin` read a polling answer; none without an Origin."""
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1", "replace")),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]


PREFLIGHT_HEADERS: Final = [
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, authorization"),
    (b"access-control-max-age", b"600"),
]
