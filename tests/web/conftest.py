"""A web application over a real SQLite store, asked in process, with credentials for two organizations."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from sensorcast import web
from sensorcast.auth import AuthService, mint_token
from sensorcast.broadcaster import SensorStreamService
from sensorcast.cluster.nodes import Node
from sensorcast.hub import Hub
from sensorcast.model import Reading, Role
from sensorcast.quotas import Quotas
from sensorcast.settings import Settings
from sensorcast.store.sqlite import SqliteStore
from tests.support.identity import SECRET

NOW_S = 1_760_000_000.0
NOW_US = int(NOW_S * 1_000_000)


@dataclass
class Door:
    """The application, and what a test needs to fill it and to ask it."""

    store: SqliteStore
    service: SensorStreamService
    client: httpx.AsyncClient
    quotas: Quotas
    reasons: list[str] = field(default_factory=list)
    connections: Counter[str] = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)
    """Organizations the registry of which was changed, one for each change."""

    def token(self, organization_id: str = "acme", role: Role = Role.VIEWER, *, ttl_s: float = 60.0) -> str:
        return mint_token(
            SECRET, organization_id=organization_id, role=role, subject="somebody", ttl_s=ttl_s, now_s=NOW_S
        )

    async def get(self, path: str, *, token: str | None = None, **query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return await self.client.get(path, params=query or None, headers=headers)

    async def store_readings(self, unit_id: str, ages_s: Sequence[float], organization_id: str = "acme") -> None:
        await self.store.append([_reading(organization_id, unit_id, NOW_US - int(age * 1e6)) for age in ages_s])


def _reading(organization_id: str, unit_id: str, recorded_at_us: int) -> Reading:
    return Reading(
        organization_id=organization_id,
        unit_id=unit_id,
        recorded_at_us=recorded_at_us,
        received_at_us=recorded_at_us,
        temperature=4.5,
    )


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    settings = Settings(data=str(tmp_path))
    store = SqliteStore(tmp_path / "readings.db", settings)
    await store.open()
    service, connections, reasons = SensorStreamService(Hub()), Counter[str](), list[str]()
    changed: list[str] = []

    def count(organization_id: str) -> int:
        return connections[organization_id]

    async def why_not() -> Sequence[str]:
        return reasons

    quotas = Quotas(settings, lambda: NOW_S)
    auth = AuthService(settings, SECRET, store, now_s=lambda: NOW_S, clock_s=lambda: NOW_S)
    sources = web.Sources(
        store=store,
        authenticator=auth.authenticator,
        look=auth.look,
        registry_changed=changed.append,
        quotas=quotas,
        stats=service,
        connections=count,
        reasons=why_not,
        nodes=lambda: [Node(name="here", origin="a1", since_us=NOW_US - 5_000_000, is_self=True)],
        clock_s=lambda: NOW_S,
    )
    transport = httpx.ASGITransport(web.application(sources), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield Door(store, service, client, quotas, reasons, connections, changed)
    await store.close()
