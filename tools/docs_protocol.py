"""The reference pages of what clients speak: HTTP, from the OpenAPI document, and Socket.IO events.

Addresses, parameters, shapes and event names come from the code. The sentences about events are here, and a handler
without a sentence, or a sentence without a handler, is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sensorcast.auth import Attempts, Authenticator, KeyRing, Revocations, TokenVerifier
from sensorcast.broadcaster import BATCH_EVENT
from sensorcast.settings import Settings
from sensorcast.stream import SensorStream
from sensorcast.stream.outgoing import BatchReading, UnitReading
from sensorcast.stream.rates import MULTIPLES
from sensorcast.transport.gateway import Gateway
from sensorcast.transport.server import SocketServer
from sensorcast.web import openapi

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

SUBSCRIBED = "`{ok, error?}`, to a rate also `rateHz, mode`"
CLIENT_EVENTS = {
    "auth:refresh": (
        "`{token}`",
        "`{ok, exp}` or `{ok, error}`",
        "Go on with a new token of the same user. One that is not for the organization ends the connection.",
    ),
    "get:latest": ("unitId", "reading or `null`", "The newest reading of a unit; `null` for a unit never seen."),
    "get:latest:all": ("", "reading[]", "The newest reading of every unit of the organization."),
    "subscribe:unit": ("unitId, rate?", SUBSCRIBED, "Follow one unit. Also before its first reading."),
    "unsubscribe:unit": ("unitId", "`{ok, error?}`", "Follow it no longer."),
    "subscribe:site": ("siteId, rate?", SUBSCRIBED, "Follow the units whose readings name that `siteId`."),
    "unsubscribe:site": ("siteId", "`{ok, error?}`", "Follow it no longer."),
    "subscribe:organization": ("organizationId, rate?", SUBSCRIBED, "Follow all units of the organization one is in."),
    "unsubscribe:organization": ("organizationId", "`{ok, error?}`", "Follow only what was subscribed to otherwise."),
    "ping": ("", "milliseconds since 1970", "The server's clock."),
}
READING_FIELDS = {
    "id": "UUID, the same however often the reading was sent",
    "deviceId": "device that measured",
    "temperature": "deg C",
    "humidity": "% relative humidity",
    "battery": "%",
    "signalStrength": "dBm",
    "metrics": "further measurements: name to number",
    "recordedAt": "when it was measured: UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`",
    "timestamp": "equals `recordedAt`",
    "source": "how it came in: `api`, `ttn`, `mqtt`, `import`, ...",
    "late": "only there, and then `true`, inside a batch: a newer reading of the unit was in a batch before",
    "unitId": "unit; not inside a batch, which names it once",
    "siteId": "site of the unit, or `null`; not inside a batch",
}


def http_page(table: Table) -> str:
    """Every HTTP operation and the shapes it takes and gives."""
    document = openapi.document()
    operations = "\n".join(
        operation_section(method, path, operation, table)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "\n".join(
        schema_section(name, schema, table)
        for name, schema in sorted(document["components"]["schemas"].items())
        if "properties" in schema
    )
    return f"""# HTTP API

JSON in camelCase, strict (RFC 8259): no NaN, no field named twice, UTF-8. The same as a machine reads it is served at
`/openapi.json`, and as a page at `/docs`. Errors have one form and are [listed](errors.md). Unknown and "not yours"
get the same answer. A unit, device or organization id is 1 to 128 of `A-Z a-z 0-9 _ . : -`.
In a path, write the ids `.` and `..` as `~.` and `~..`: plain, even escaped, they would be taken for steps.

{operations}
# Shapes

{schemas}"""


def operation_section(method: str, path: str, operation: Mapping[str, Any], table: Table) -> str:
    """Lay out one operation."""
    parts = [f"## `{method.upper()} {path}`", f"{operation['summary']}."]
    credentials = {"apiKey": "`X-API-Key: <key>`", "token": "`Authorization: Bearer <token>`"}
    parts.extend(f"Credential: {credentials[name]}." for each in operation.get("security", []) for name in each)
    if rows := [(f"`{each['name']}`", each["in"], each.get("description", "")) for each in operation["parameters"]]:
        parts.append(table(("Parameter", "In", "What it is"), rows))
    if "requestBody" in operation:
        parts.append(f"Body: {shape(operation['requestBody']['content'])}.")
    answers = [
        (status, shape(answer.get("content", {})), answer["description"])
        for status, answer in operation["responses"].items()
    ]
    parts.append(table(("Status", "Body", "When"), answers))
    return "\n\n".join(parts) + "\n"


def shape(content: Mapping[str, Any]) -> str:
    """Name the shape of a body."""
    for kind, body in content.items():
        return type_text(body["schema"]) if kind == "application/json" else kind
    return ""


def schema_section(name: str, schema: Mapping[str, Any], table: Table) -> str:
    """Lay out the fields of one shape."""
    required = set(schema.get("required", []))
    rows = [
        (f"`{field}`" + ("" if field in required else "?"), type_text(kind), kind.get("description", ""))
        for field, kind in schema["properties"].items()
    ]
    summary = schema.get("description", "").split("\n\n")[0]
    return f"## {name}\n\n{summary}\n\n{table(('Field', 'Type', 'What it is'), rows)}\n"


def type_text(schema: Mapping[str, Any]) -> str:
    """Write a JSON Schema as a short text."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(type_text(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {type_text(schema['items'])}"
    if schema.get("type") == "object":
        return (
            f"object of {type_text(schema['additionalProperties'])}" if "additionalProperties" in schema else "object"
        )
    return str(schema.get("type", "any")) + bounds_text(schema)


def bounds_text(schema: Mapping[str, Any]) -> str:
    """Write the bounds of a number."""
    low, high = schema.get("minimum"), schema.get("maximum")
    return "" if low is None or high is None else f", {low:g} to {high:g}"


def events_page(table: Table) -> str:
    """Every Socket.IO event, both ways."""
    asked = [(f"`{name}`", *CLIENT_EVENTS[name]) for name in handled_events()]
    return f"""# Socket.IO events

Path `/socket.io/`, namespace `/`, Engine.IO 4 and Socket.IO 5: what every stock client since 2021 speaks, over
WebSocket and over HTTP long-polling with upgrade.

## Connecting

`io(url, {{ auth: {{ token, organizationId?, stream?, maxRateHz?, mode? }} }})`. `token` is a JWT with the claims `sub`,
`org` (an id or a list of ids), `role` (owner, admin, manager, staff, viewer) and `exp`; `sensorcast token` makes one.
`organizationId` picks one of several. A socket follows its whole organization, at a [rate](#rates) if it says one, or
with `stream: "units"` only what it subscribes to.

A refusal is a `connect_error` with `message` and `data.code`, one of the [errors](errors.md); a stock client does not
try again by itself after it. Passing trouble (too many connections or handshakes) is a 503 at HTTP level, where it
does.

## From the server

### `connection:ack` `{{socketId, timestamp}}`

Once after each connect, also after a reconnect.

### `auth:expiring` `{{exp}}`

60 seconds before the token ends (`exp` is its claim); answer with `auth:refresh`. A socket whose token has ended, or
was revoked, gets a DISCONNECT packet, after which a stock client does not try again by itself.

### `{BATCH_EVENT}` `{{unitId, readings, count, seq}}`

Everything that came in for a unit since the last flush (`--flush-interval-ms`), once per socket, however many of its
rooms it belongs to. `readings` are sorted by `recordedAt`; a batch above `--batch-max-bytes` is split into several.
`count` is their number. `seq` grows from batch to batch of an organization, also over restarts.

{table(("Field of a reading", "What it is"), reading_rows())}

A value that was not measured is `null`.

{holes_section()}
{rates_section()}
## From the client

Each is answered through the acknowledgement callback where one is given, and harmless without one or with
arguments of any other kind. An `error` is `{{code, message}}`. More events than `--client-events-per-s` allows,
and questions whose answers would come on top of too much that is not read yet, are answered `{{ok: false, error}}` with
the code `rate_limited`, whatever they ask.

{table(("Event", "Argument", "Answer", "What it does"), asked)}
"""


def _nobody(settings: Settings) -> Authenticator:
    """Checks that prove nothing: the gateway is only built to list its handlers."""
    attempts = Attempts(settings, lambda: 0.0)

    async def find(_: str) -> None:
        return None

    return Authenticator(
        TokenVerifier(settings, b"only to list the handlers, signs nothing"),
        KeyRing(find, 0.0, lambda: 0.0),
        attempts=attempts,
        revocations=Revocations(),
    )


def holes_section() -> str:
    """What a client is told of its own stream."""
    return """### `stream:degraded` `{since, reason}`

The live stream may have holes from `since` on. `reason` says why:

- `"slow"`: this client does not read fast enough (`--outbound-soft-bytes`). From now on a batch that waits is replaced
  by a newer one of its unit. Answers to what the client asked are never left out.
- `"bus"`: this server cannot hear all others of its cluster. What they take in comes when it has caught up.

A client must take a reason that it does not know.

### `stream:restored` `{since, until}`

The client has the newest batch of every unit. What it missed in between is in the history from `since` to `until`. If
the stream is still degraded for the other reason, another `stream:degraded` follows. A client that stays slow is cut
instead, and reconnects.
"""


def rates_section() -> str:
    """How to ask for less than everything."""
    multiples = ", ".join(map(str, MULTIPLES[:-1])) + f" or {MULTIPLES[-1]}"
    return f"""## Rates

Who does not want every batch says so: `subscribe:unit(unitId, {{maxRateHz?, mode?}})`, the same for sites and the
organization, or `auth: {{maxRateHz?, mode?}}` for the organization stream that begins with the connection.

- `maxRateHz`: how many batches of a unit a second there may be. Rounded down, so that all who chose alike share one
  encoding, to a batch every {multiples} flush intervals; a wish below the slowest gets the slowest.
- `mode`: what a batch carries of the readings since the last one, `"all"` (default) or only the `"latest"`.

The answer tells what it has become. Subscribing again replaces the rate. A socket that follows its whole organization
gets each unit at that rate, whatever it subscribes to besides; to choose unit by unit, connect with `stream: "units"`.
Who follows a unit and its site at two rates gets the unit at the faster one. A change of rate begins with the next
batch: it may repeat readings that came at the old rate (`id` tells), or leave out what waited for it.
"""


def handled_events() -> list[str]:
    """The events that the gateway handles, as registered; each must have its sentence here, and the other way round."""
    settings = Settings()
    gateway = Gateway(
        SocketServer(),
        stream=SensorStream(1),
        authenticator=_nobody(settings),
        settings=settings,
        clock=lambda: 0.0,
    )
    handled = list(gateway.namespace.handlers)
    if unequal := set(handled) ^ set(CLIENT_EVENTS):
        raise SystemExit(f"tools/docs_protocol.py and the gateway do not know the same events: {sorted(unequal)}")
    return handled


def reading_rows() -> list[tuple[str, str]]:
    """The fields of an outgoing reading, with their sentences."""
    fields = dict.fromkeys(
        field.encode_name for kind in (BatchReading, UnitReading) for field in msgspec.structs.fields(kind)
    )
    if unequal := set(fields) ^ set(READING_FIELDS):
        raise SystemExit(f"tools/docs_protocol.py and outgoing readings differ in fields: {sorted(unequal)}")
    return [(f"`{name}`", READING_FIELDS[name]) for name in fields]
