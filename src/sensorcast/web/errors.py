"""Turns whatever goes wrong in this door into the one error form, `{"error": {"code", "message", "hint"?}}`.

Owns the mapping from Starlette's own exceptions to the error table; the bytes come from `http_errors`, shared with the
ingest door. The invariant: no answer of this door is HTML or empty because of an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sensorcast import http_errors
from sensorcast.errors import CallerError, MethodNotAllowed, NotFound, SensorcastError
from sensorcast.http_errors import HttpAnswer

_log = structlog.get_logger(__name__)

UNKNOWN: Final = "no such organization or unit, or it is not yours"
"""Said for both alike, so that nobody learns what others have."""


def answer(error: SensorcastError) -> Response:
    """Give the response for an error of the table."""
    return _response(http_errors.error_answer(error))


def _response(ready: HttpAnswer) -> Response:
    response = Response(ready.body, ready.status)
    response.raw_headers = [*ready.headers]
    return response


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, SensorcastError)  # noqa: S101 - registered for this class only
    return answer(error)


async def _starlettes(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    match error.status_code:
        case 404:
            return answer(NotFound("no such page"))
        case 405:
            response = answer(MethodNotAllowed("this address does not take that method"))
            response.headers["Allow"] = (error.headers or {}).get("Allow", "")
            return response
        case _:
            return answer(CallerError(error.detail))


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("request_failed", path=request.url.path, exc_info=error)
    return _response(http_errors.error_answer(error))


HANDLERS: Final[Mapping[Any, Any]] = {
    SensorcastError: _ours,
    HTTPException: _starlettes,
    Exception: _unforeseen,
}
