"""An ingest endpoint over a real store, and what a test sends to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sensorcast.auth import KeyRing, new_api_key
from sensorcast.http_errors import HttpAnswer
from sensorcast.ingest.http import IngestEndpoint
from sensorcast.model import Reading, format_time
from sensorcast.pipeline import Pipeline
from sensorcast.registry import Registry
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from sensorcast.transport.short_way import PlainHead
from tests.readings import T0_S, T0_US

URL = "http://server/api/ingest/readings"


@dataclass
class Sink:
    streamed: list[Reading] = field(default_factory=list)

    def add_readings(self, organization_id: str, readings: Sequence[Reading]) -> None:
        self.streamed += readings


class ShortWayFirst(httpx.AsyncBaseTransport):
    """Sends a request the short way when the endpoint takes it, and as to any ASGI application otherwise."""

    def __init__(self, app: IngestEndpoint) -> None:
        self.app = app
        self.asgi = httpx.ASGITransport(app=app)
        self.taken = 0
        self.heads: dict[Any, PlainHead] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answered: asyncio.Future[HttpAnswer] = asyncio.get_running_loop().create_future()
        fields = {name.lower(): value for name, value in request.headers.raw}
        plain = request.method == "POST" and len(fields) == len(request.headers.raw)
        head = self.heads.setdefault(tuple(fields.items()), PlainHead(0, fields, 0))
        if not plain or not self.app.take(head, await request.aread(), answered.set_result):
            return await self.asgi.handle_async_request(request)
        self.taken += 1
        answer = await answered
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)


@dataclass
class Door:
    """An endpoint over a store on disk, a key for it, and a clock of its own."""

    path: Path
    settings: Settings
    now_s: float = T0_S
    key: str = ""
    sink: Sink = field(default_factory=Sink)
    short: bool = False
    """Whether requests go the short way where they may."""

    async def open(self) -> None:
        self.store = SqliteStore(self.path, self.settings)
        await self.store.open()
        self.key = await self.new_key("acme")
        self.registry = Registry(self.store, self.settings, lambda: self.now_s)
        pipeline = Pipeline(self.store, self.sink, self.registry)
        keys = KeyRing(self.store.find_key, self.settings.key_cache_s, lambda: self.now_s)
        self.app = IngestEndpoint(pipeline, keys, self.settings, lambda: self.now_s)
        self.short_way = ShortWayFirst(self.app)
        self.client = httpx.AsyncClient(transport=self.short_way if self.short else self.short_way.asgi)
        if self.short:
            await keys.identify(self.key)

    async def new_key(self, organization_id: str) -> str:
        record, text = new_api_key(organization_id, "test", T0_US)
        await self.store.create_key(record)
        return text

    async def post(self, content: Any, **headers: str) -> httpx.Response:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        sent = {"X-API-Key": self.key, "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.client.post(URL, content=raw, headers=sent)

    async def stored(self, organization_id: str = "acme") -> int:
        page = await self.store.readings(organization_id, "u1", start_us=0, end_us=2**62, limit=99_999, cursor=None)
        return len(page.readings)


OpenDoor = Any


def item(at_us: int = 0, **fields: Any) -> dict[str, Any]:
    return {"unitId": "u1", "recordedAt": format_time(T0_US + at_us), "temperature": 4.5} | fields


def body(*items: Any) -> dict[str, Any]:
    return {"readings": list(items)}


def error_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) <= {"code", "message", "hint"}
    assert response.headers["content-type"] == "application/json"
    return f"{response.status_code} {error['code']}: {error['message']}"


GOOD = json.dumps(body(item())).encode()
