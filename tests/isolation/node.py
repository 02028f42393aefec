"""Servers in this process, so that a test can take a predicate out of them, and three organizations on them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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
async def nodes(folder: Path, count: int = 1, **chosen: str) -> AsyncIterator[tuple[list[str], list[Tenant]]]:
    """Run servers with settings that do not slow a test down; gives their addresses and their organizations."""
    settings = Settings(
        data=str(folder),
        flush_interval_ms=20,
        client_events_per_s=1e6,
        client_events_burst=100_000,
        organization_requests_per_s=1e6,
        ingest_requests_per_s=1e6,
        **chosen,  # type: ignore[arg-type]
    )
    async with AsyncExitStack() as stack:
        applications = [await stack.enter_async_context(_started(settings)) for _ in range(count)]
        tenants = [await _tenant(applications[0], settings, f"{name}-{place}") for place, name in enumerate(NAMES)]
        ports = [
            await stack.enter_async_context(running(each, ws=each.sockets.websocket_class)) for each in applications
        ]
        yield [f"http://127.0.0.1:{port}" for port in ports], tenants
        for application in applications:
            await application.drain()


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[tuple[str, list[Tenant]]]:
    """Run one server on SQLite."""
    async with nodes(folder) as ([url], tenants):
        yield url, tenants


@asynccontextmanager
async def _started(settings: Settings) -> AsyncIterator[Application]:
    application = Application(settings)
    await application.start()
    try:
        yield application
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
