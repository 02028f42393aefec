"""The pages and files a browser loads: the dashboard at `/`, the API's pages at `/docs`, their scripts and styles.

The invariant: everything a page needs is served from here, so it works without any other server; and browsers ask
again whether a file changed, so a new version of the server is a new version of the page.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

from sensorcast.web import openapi

STATIC: Final = Path(__file__).parent / "static"
_REVALIDATE: Final = {"Cache-Control": "no-cache"}


class _Files(StaticFiles):
    """Static files that browsers keep, but ask about each time."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_REVALIDATE)
        return response


def routes() -> list[BaseRoute]:
    """Give the routes to mount."""
    files, document = _Files(directory=STATIC), openapi.encoded()

    async def dashboard(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    async def documentation(request: Request) -> Response:
        return await files.get_response("docs.html", request.scope)

    async def describe(_: Request) -> Response:
        return Response(document, media_type="application/json", headers=_REVALIDATE)

    return [
        Route("/", dashboard),
        Route("/docs", documentation),
        Route("/openapi.json", describe),
        Mount("/static", files),
    ]
