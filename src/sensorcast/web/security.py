"""The headers that tell a browser what a page or answer of ours may do, on every answer of the HTTP server.

Owns the content security policy of pages; what every answer has is in `http_errors`, for the other doors too. The
invariant: no answer allows inline scripts or styles, foreign origins, framing or type guessing; so even a text from
outside that became markup could load, run and reach nothing.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sensorcast.http_errors import ANSWER_POLICY, SECURITY_HEADERS

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",  # covers the websocket of the same origin, too
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class SecurityHeaders:
    """Wraps an ASGI app; adds the headers to every HTTP answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the answer back with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(MutableHeaders(scope=message), message["status"])
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add(headers: MutableHeaders, status: int) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if status == 304:
        return  # a browser puts these headers over the kept ones, which are right for the kept content
    is_page = headers.get("Content-Type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else ANSWER_POLICY)
    headers.setdefault("Cache-Control", "no-store")
