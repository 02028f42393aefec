"""The OpenAPI 3.1 document of the HTTP API, made from the types that the answers are.

The invariant: schemas are generated; only addresses, parameters and sentences are written here by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from sensorcast import __version__
from sensorcast.model import ID_PATTERN
from sensorcast.stream.outgoing import UnitReading
from sensorcast.web import answers, credentials, export, operations, queries, registry_shapes, series
from sensorcast.web.described import CHANGE, LOOKUP, PAGE, Operation
from sensorcast.web.registry_operations import REGISTRY_OPERATIONS

INGEST_PATH: Final = "/api/ingest/readings"
_REFERENCE: Final = "#/components/schemas/{name}"

Id = Annotated[str, Meta(pattern=ID_PATTERN)]


class IngestReading(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """One reading to store: at least one measured value. A bad one never harms its neighbours."""

    unit_id: Annotated[Id, Meta(description="Unit, scoped by the organization of the key.")]
    recorded_at: Annotated[str, Meta(description="RFC 3339 with zone, at most 30 days old and 5 minutes ahead.")]
    id: Annotated[str | None, Meta(description="UUID; left out, it is derived from unit, device and time.")] = None
    device_id: Id | None = None
    site_id: Annotated[Id, Meta(description="Site the unit is at; dashboards can follow a whole site.")] | None = None
    temperature: Annotated[float, Meta(ge=-273.15, le=10_000, description="Degrees Celsius.")] | None = None
    humidity: Annotated[float, Meta(ge=0, le=100, description="% relative humidity.")] | None = None
    battery: Annotated[int, Meta(ge=0, le=100, description="%.")] | None = None
    signal_strength: Annotated[int, Meta(ge=-200, le=50, description="dBm.")] | None = None
    metrics: Annotated[dict[str, float], Meta(max_length=64, description="Any further measurement.")] | None = None
    source: str = "api"


class IngestRequest(msgspec.Struct):
    """Readings of one organization."""

    readings: Annotated[list[IngestReading], Meta(min_length=1, max_length=10_000)]


class Rejection(msgspec.Struct):
    """Why the item at `index` was not stored."""

    index: int
    code: str
    message: str


class IngestReceipt(msgspec.Struct, kw_only=True, rename="camel"):
    """What became of the readings, sent after they are on disk."""

    success: bool
    inserted_count: int
    reading_ids: Annotated[list[str | None], Meta(description="Per item: its id, null when rejected.")]
    alerts_triggered: int
    duplicate_count: int
    rejected: list[Rejection]


_TYPES: Final = (
    IngestRequest,
    IngestReceipt,
    UnitReading,
    answers.ReadingList,
    registry_shapes.OrganizationChange,
    registry_shapes.SiteDescription,
    registry_shapes.UnitDescription,
    registry_shapes.DeviceDescription,
    registry_shapes.Organization,
    registry_shapes.SiteList,
    registry_shapes.UnitList,
    registry_shapes.DeviceList,
    series.Series,
    series.Samples,
    credentials.NewKey,
    credentials.CreatedKey,
    credentials.KeyList,
    credentials.NewRevocation,
    credentials.RevocationEntry,
    credentials.RevocationList,
    answers.Stats,
    answers.Health,
    answers.Readiness,
    answers.ProblemAnswer,
)
_PROBLEMS: Final = {
    "400": "The body cannot be read; nothing was stored.",
    "401": "No credential, or one that does not hold.",
    "403": "The role may not do this.",
    "404": "Unknown, or not yours.",
    "413": "More bytes than a limit allows.",
    "415": "A content type or encoding not taken here.",
    "422": "A parameter or the shape of the body is not allowed.",
    "429": "Faster than this key may; see Retry-After.",
    "503": "Not available now; see Retry-After.",
    "507": "The disk is full; nothing was stored.",
}
_SPAN: Final = {
    "start": "First recordedAt, RFC 3339 with zone.",
    "end": "The recordedAt before which the answer ends, RFC 3339 with zone.",
}
_CHART: Final = {
    "points": "Most moments to answer, a whole number.",
    "measure": "temperature, humidity, battery, signalStrength or metrics.<name>.",
}


OPERATIONS: Final = (
    Operation(
        path=INGEST_PATH,
        method="post",
        summary="Store readings and send them to everybody who watches",
        body="IngestRequest",
        answer="IngestReceipt",
        credential="apiKey",
        problems=("400", "401", "413", "415", "422", "429", "503", "507"),
    ),
    *REGISTRY_OPERATIONS,
    Operation(
        path=queries.READINGS_PATH,
        summary="History of a unit, newest first",
        answer="ReadingList",
        credential="token",
        query=_SPAN | PAGE,
        problems=LOOKUP,
    ),
    Operation(
        path=queries.LATEST_PATH,
        summary="Newest reading of a unit",
        answer="UnitReading",
        credential="token",
        problems=LOOKUP,
    ),
    Operation(
        path=export.EXPORT_PATH,
        summary="History of a unit as CSV, newest first",
        credential="token",
        query=_SPAN,
        problems=LOOKUP,
        media_type="text/csv",
    ),
    Operation(
        path=export.NDJSON_PATH,
        summary="History of a unit as NDJSON, a reading a line, newest first",
        credential="token",
        query=_SPAN,
        problems=LOOKUP,
        media_type="application/x-ndjson",
    ),
    Operation(
        path=series.SERIES_PATH,
        summary="History of a unit made small, for charts: lowest, highest and mean value per bucket of time",
        answer="Series",
        credential="token",
        query=_SPAN | _CHART,
        problems=LOOKUP,
    ),
    Operation(
        path=series.SAMPLES_PATH,
        summary="One value per bucket of time for many units, for small charts",
        answer="Samples",
        credential="token",
        query={"unit": f"Unit id; may be repeated up to {series.UNITS_MAX} times."} | _SPAN | _CHART,
        problems=LOOKUP,
    ),
    Operation(
        path=credentials.KEYS_PATH,
        summary="API keys, oldest first; for the roles admin and owner, as everything about credentials",
        answer="KeyList",
        credential="token",
        problems=("403", *LOOKUP),
    ),
    Operation(
        path=credentials.KEYS_PATH,
        method="post",
        summary="Make an API key; its text is shown once",
        body="NewKey",
        answer="CreatedKey",
        status="201",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=credentials.KEY_PATH,
        method="delete",
        summary="Revoke an API key",
        status="204",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=credentials.REVOCATIONS_PATH,
        summary="What was revoked, oldest first",
        answer="RevocationList",
        credential="token",
        problems=("403", *LOOKUP),
    ),
    Operation(
        path=credentials.REVOCATIONS_PATH,
        method="post",
        summary="Revoke a token, the tokens of a user, or (as an owner) every credential; sockets are cut at once",
        body="NewRevocation",
        answer="RevocationEntry",
        status="201",
        credential="token",
        problems=CHANGE,
    ),
    Operation(
        path=operations.STATS_PATH,
        summary="What this node holds for the organization; for the roles admin and owner",
        answer="Stats",
        credential="token",
        query={"organizationId": "Which organization of the token; its first one when left out."},
        problems=("401", "403"),
    ),
    Operation(path=operations.HEALTH_PATH, summary="Whether the process answers", answer="Health"),
    Operation(
        path=operations.READINESS_PATH,
        summary="Whether readings can be taken; 503 with the reasons when not",
        answer="Readiness",
    ),
    Operation(path=operations.METRICS_PATH, summary="Metrics in the Prometheus text format"),
)


def encoded() -> bytes:
    """Give the document as JSON."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Build the document."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template=_REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sensorcast",
            "version": __version__,
            "description": "Readings in, history out. Live data comes by Socket.IO at /socket.io/.",
        },
        "paths": _paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _paths() -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(address(each.path), {})[each.method] = _described(each)
    return paths


def address(path: str) -> str:
    """Give a route's path as clients know it: `{organization_id}` is `{organizationId}`."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path)


def _described(operation: Operation) -> dict[str, Any]:
    success = _json(operation.answer) if operation.answer else {operation.media_type: {"schema": {"type": "string"}}}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query)],
        "responses": {
            **{
                status: {"description": "Success."} | ({} if status == "204" else {"content": success})
                for status in filter(None, (operation.status, operation.also))
            },
            **{
                status: {"description": _PROBLEMS[status], "content": _json("ProblemAnswer")}
                for status in operation.problems
            },
        },
    }
    if operation.credential:
        described["security"] = [{operation.credential: []}]
    if operation.body:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": ID_PATTERN}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in re.findall(r"{(\w+)}", address(path))
    ]


def _query_parameters(query: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}} for name, text in query.items()
    ]


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(name=name)}}}
