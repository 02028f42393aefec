"""Ids that a path cannot hold: `.` and `..`, which clients and proxies take for steps, also when they are escaped.

The invariant: `~.` and `~..` as a part of a path stand for these ids. `~` is in no id, is never escaped, and nothing on
the way changes it.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

_WRITTEN: Final = re.compile(r"(?<=/)~(?=\.\.?(?:/|\Z))")


class DotIds:
    """Wraps an ASGI app, which sees the ids as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and "/~." in scope["path"]:
            scope = {**scope, "path": _WRITTEN.sub("", scope["path"])}
        await self._app(scope, receive, send)
