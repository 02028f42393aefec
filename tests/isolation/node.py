"""One server in this process, so that a test can take a predicate out of it, and three organizations on it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from sensorcast.app import Application
from sensorcast.auth import load_or_create_secret, mint_token, new_api_key
from sensorcast.model import Role, Scope
from sensorcast.settings import Settings
from sensorcast.verify.tenant import Tenant
from tests.support.uvicorn import running

NAMES = ("acme", "acme:", "globex")
"""One begins like the other, and ends with the separator of room names."""


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[tuple[str, list[Tenant]]]:
    """Run a server with settings that do not slow a test down; gives its address and its organizations."""
    settings = Settings(
        data=str(folder),
        flush_interval_ms=20,
        client_events_per_s=1e6,
        client_events_burst=100_000,
        organization_requests_per_s=1e6,
        ingest_requests_per_s=1e6,
    )
    application = Application(settings)
    await application.start()
    try:
        tenants = [await _tenant(application, settings, f"{name}-{number}") for number, name in enumerate(NAMES)]
        async with running(application, ws=application.sockets.websocket_class) as port:
            yield f"http://127.0.0.1:{port}", tenants
            await application.drain()
    finally:
        await application.stop()


async def _tenant(application: Application, settings: Settings, name: str) -> Tenant:
    key, text = new_api_key(name, "test", time.time_ns() // 1_000, scopes=[Scope.INGEST, Scope.READ])
    await application.store.create_key(key)
    secret = load_or_create_secret(settings)
    token = mint_token(
        secret, organization_id=name, role=Role.OWNER, subject="somebody", ttl_s=3_600, now_s=time.time()
    )
    return Tenant(name, token, text, datetime.now(UTC))
