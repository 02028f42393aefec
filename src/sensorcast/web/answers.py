"""The shapes of everything the web door answers; the OpenAPI document is made from them.

The invariant: an answer is one of these values, so what is documented is what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response

from sensorcast.stream.outgoing import UnitReading

_ENCODER: Final = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Common form: camelCase, fields that may be absent are left out."""


class ReadingList(Answer, frozen=True):
    """Readings, newest first. `nextCursor` is there when there are more."""

    readings: Sequence[UnitReading]
    next_cursor: str | None = None


class Flush(Answer, frozen=True):
    """What the last flush carried."""

    readings: int
    units: int
    duration_ms: float


class Usage(Answer, frozen=True):
    """What the organization took of this node since its start; `subscriptions` are those of now.

    `outboundBytes` counts each delivery with 8 KiB more for its own cost. `refused` is what was above its share.
    """

    requests: int
    readings: int
    outbound_bytes: int
    refused: int
    subscriptions: int

    def __add__(self, other: Usage) -> Usage:
        """Add what it took of another worker."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class ClusterNode(Answer, frozen=True):
    """One of the nodes that are heard. `origin` tells it from all others and is another one after each start."""

    name: str
    origin: str
    since_s: float
    """How long ago it began."""
    is_self: bool = msgspec.field(name="self")
    """Whether it is the one that answers."""


class Stats(Answer, frozen=True):
    """What this node holds for the organization now.

    Where a node is several workers, `connections` and `usage` are those of all, the rest of the one that was asked.
    """

    buffered_readings: int
    cached_units: int
    buffer_keys: int
    connections: int
    usage: Usage
    flush: Flush
    nodes: Sequence[ClusterNode] = ()

    def with_use_of(self, other: Stats) -> Stats:
        """Add the use that the organization makes of another worker."""
        connections = self.connections + other.connections
        return msgspec.structs.replace(self, connections=connections, usage=self.usage + other.usage)


class Health(Answer, frozen=True):
    """The process answers."""

    status: Literal["ok"]
    version: str


class Readiness(Answer, frozen=True):
    """Whether the server can do its work, and why not."""

    ready: bool
    reasons: Sequence[str]


class Problem(Answer, frozen=True):
    """What went wrong: `code` for programs, `message` for people, `hint` says what to do."""

    code: str
    message: str
    hint: str | None = None


class ProblemAnswer(Answer, frozen=True):
    """Every answer that is not a success."""

    error: Problem


def json_response(value: msgspec.Struct | dict[str, Any], status: int = 200) -> Response:
    """Give `value` as a JSON response."""
    return Response(_ENCODER.encode(value), status, media_type="application/json")
