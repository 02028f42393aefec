"""The composition root: builds every part of one server, starts them bottom-up, stops them top-down.

Owns the lifetimes and nothing else: no rule about readings, rooms or requests is here. The invariant of the stop: what
was accepted is answered and committed, what was committed is flushed, and only then transports close, without the
Socket.IO DISCONNECT packet, so that stock clients reconnect to whoever comes next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from sensorcast.auth import AuthService, load_or_create_secret
from sensorcast.auth.secret import checked_secret
from sensorcast.broadcaster import SensorStreamService
from sensorcast.cluster.joining import bus_codec, open_bus, own_node
from sensorcast.cluster.neighbours import Neighbours
from sensorcast.cluster.node_adapter import open_adapter
from sensorcast.cluster.pace import hold_back_s
from sensorcast.cluster.relay import Relay
from sensorcast.cluster.worker import ALONE, Worker
from sensorcast.errors import ConfigurationError
from sensorcast.http_errors import HttpAnswer
from sensorcast.ingest.http import Head, IngestEndpoint
from sensorcast.interop import NAMESPACE, NodeExchange
from sensorcast.model import Identity
from sensorcast.pipeline import Pipeline
from sensorcast.quotas import Quotas
from sensorcast.registry import Registry
from sensorcast.retention import Retention
from sensorcast.settings import Settings
from sensorcast.store import Store
from sensorcast.store.postgres import PostgresStore
from sensorcast.store.sqlite import SqliteStore
from sensorcast.stream import SensorStream
from sensorcast.transport.gateway import Gateway
from sensorcast.transport.http import Receive, Scope, Send
from sensorcast.transport.limits import Limits
from sensorcast.transport.passing import PassedRequests
from sensorcast.transport.server import SocketServer
from sensorcast.web import Sources, application, private_application

DATABASE_NAME: Final = "sensorcast.db"
INGEST_PATH: Final = "/api/ingest/readings"

_log = structlog.get_logger(__name__)


def open_store(settings: Settings) -> Store:
    """The store these settings name, not yet opened; the data folder is made when missing."""
    data = Path(settings.data)
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise ConfigurationError(f"cannot use the data folder {data} (--data): {exc.strerror}") from exc
    if settings.database_url:
        return PostgresStore(settings.database_url, settings)
    return SqliteStore(data / DATABASE_NAME, settings)


def _stream(settings: Settings) -> SensorStream:
    return SensorStream(
        settings.latest_cache_units,
        buffer_max_readings=settings.buffer_max_readings,
        late_per_flush=settings.late_per_flush,
        hold_back_s=hold_back_s(settings.flush_interval_ms / 1_000),
    )


class Application:
    """One server, as an ASGI application with `start` and `stop`. `clock_s` gives seconds since 1970."""

    def __init__(self, settings: Settings, *, clock_s: Callable[[], float] = time.time, worker: Worker = ALONE) -> None:
        self.settings = settings
        self.worker = worker
        self.store = open_store(settings)
        secret = load_or_create_secret(settings)
        self.auth = AuthService(
            settings,
            secret,
            self.store,
            now_s=clock_s,
            clock_s=time.monotonic,
            on_revoked=self._cut_revoked,
        )
        self.quotas = Quotas(settings, time.monotonic)
        self.stream = _stream(settings)
        self.relay = self._join_cluster(secret, clock_s)
        self.sockets = SocketServer(limits=Limits.from_settings(settings), sid_prefix=worker.sid_prefix)
        self.gateway = Gateway(
            self.sockets,
            stream=self.stream,
            authenticator=self.auth.authenticator,
            quotas=self.quotas,
            settings=settings,
            clock=clock_s,
            cluster=self.relay,
        )
        self.service = SensorStreamService(
            self.gateway.namespace.hub,
            settings.flush_interval_ms / 1_000,
            stream=self.stream,
            batch_max_bytes=settings.batch_max_bytes,
            outbound=self.quotas,
        )
        self.registry = Registry(self.store, settings, time.monotonic)
        self._node = self._exchange_with_node() if settings.node_exchange else None
        self._pipeline = Pipeline(self.store, self._node or self.relay, self.registry, settings)
        self._ingest = IngestEndpoint(self._pipeline, self.auth.keys, settings, clock_s, quotas=self.quotas)
        sources = Sources(
            store=self.store,
            authenticator=self.auth.authenticator,
            look=self.auth.look,
            registry_changed=self.registry.forget,
            quotas=self.quotas,
            stats=self.service,
            connections=self._connections_of,
            reasons=self._reasons,
            neighbours=Neighbours(worker),
            nodes=self.relay.nodes,
            clock_s=clock_s,
        )
        self._web, self._private_web = application(sources), private_application(sources)
        self._polling = self._polling_door()
        self._retention = Retention(self.store, settings.retention_days, clock_s=clock_s)
        self._stopping = False
        self._requests_under_way = 0
        self._idle = asyncio.Event()

    def _join_cluster(self, secret: bytes, clock_s: Callable[[], float]) -> Relay:
        settings = self.settings
        if settings.cluster_secret:
            secret = checked_secret(settings.cluster_secret.encode(), "cluster_secret (SENSORCAST_CLUSTER_SECRET)")
        return Relay(
            open_bus(settings, self.worker),
            self.stream,
            self.store,
            bus_codec(settings, secret),
            own=own_node(settings, self.worker, round(clock_s() * 1_000_000)),
            flush_interval_s=settings.flush_interval_ms / 1_000,
            queue_max_bytes=settings.bus_queue_max_bytes,
            silence_s=settings.bus_silence_s,
            message_age_s=settings.bus_message_age_s,
            clock_s=clock_s,
            on_degraded=lambda organization_id, since_us: self.gateway.notices.degraded(organization_id, since_us),
            on_restored=lambda organization_id, until_us: self.gateway.notices.restored(organization_id, until_us),
        )

    def _exchange_with_node(self) -> NodeExchange:
        settings = self.settings
        return NodeExchange(
            self.relay,
            channels=lambda heard: open_adapter(settings, NAMESPACE, heard),
            latest=self.stream.get_latest_reading,
            emit=self.gateway.namespace.emit,
            interval_s=settings.flush_interval_ms / 1_000,
            max_readings=settings.buffer_max_readings,
            now_us=lambda: time.time_ns() // 1_000,
        )

    def _polling_door(self) -> Any:
        """Sessions of our own; where there are other workers, also theirs."""
        own, endpoint = self.sockets.requests, self.sockets.endpoint
        if self.worker.count == 1:
            return own
        return PassedRequests(own, self.worker, endpoint.path, endpoint.limits.timing)

    def _cut_revoked(self, organization_ids: Collection[str], is_revoked: Callable[[Identity], bool]) -> None:
        self.gateway.admission.cut_revoked(organization_ids, is_revoked)

    def _connections_of(self, organization_id: str) -> int:
        return self.gateway.admission.connections[organization_id]

    async def _reasons(self) -> list[str]:
        """Why this server should get no traffic now; empty when it should."""
        if self._stopping:
            return ["the server is shutting down"]
        troubles = (await self.store.trouble(), self.relay.trouble())
        return [trouble for trouble in troubles if trouble is not None]

    async def start(self) -> None:
        """Open the store, warm the latest readings from it, start the flush tick and take connections."""
        await self.store.open()
        await self.auth.start()
        self.registry.start()
        await self.relay.start()  # before looking at what there is: what comes later is heard
        self.stream.warm(await self.store.latest(limit=self.settings.latest_cache_units))
        self.service.start()
        if self._node is not None:
            await self._node.start()
        if self.worker.is_first:
            self._retention.start()
        await self.sockets.__aenter__()

    def announce_stop(self) -> None:
        """Say on `/readyz` that this server is about to stop; everything else goes on until `drain`."""
        self._stopping = True

    async def drain(self) -> None:
        """First half of the stop: answer what is under way, flush what it stored, close the transports."""
        self.announce_stop()
        self.sockets.endpoint.stop_accepting()
        try:
            async with asyncio.timeout(self.settings.shutdown_timeout_s):
                while self._requests_under_way:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _log.warning("requests_cut_off", requests=self._requests_under_way, setting="shutdown_timeout_s")
        await self._pipeline.drain()
        await self._leave_cluster()
        await self.service.stop()
        await self.sockets.__aexit__(None, None, None)

    async def stop(self) -> None:
        """Second half: close the store. Call `drain` first."""
        await self._retention.stop()
        await self._leave_cluster()  # nothing to do after a drain; a start that failed had none
        await self.registry.stop()
        await self.auth.stop()
        await self.store.close()

    async def _leave_cluster(self) -> None:
        if self._node is not None:
            await self._node.stop()
        await self.relay.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route a request to its door: ingest and Socket.IO by path, everything else to the web door."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.startswith(self.sockets.endpoint.path):
            # Not counted as work under way: a poll waits for us to send, and ends when its transport closes.
            await self._polling(scope, receive, send)
            return
        self._requests_under_way += 1
        try:
            await self._door(path)(scope, receive, send)
        finally:
            self._request_ended()

    def take_readings(self, head: Head, body: bytes, answer: Callable[[HttpAnswer], None]) -> bool:
        """Take a request to `INGEST_PATH` the short way; False when it has to be called instead."""
        self._requests_under_way += 1
        if self._ingest.take(head, body, partial(self._answer_taken, answer)):
            return True
        self._request_ended()
        return False

    def _answer_taken(self, answer: Callable[[HttpAnswer], None], made: HttpAnswer) -> None:
        self._request_ended()
        answer(made)

    def _request_ended(self) -> None:
        self._requests_under_way -= 1
        if not self._requests_under_way:
            self._idle.set()

    async def private(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer another worker of this machine, which asks for itself or for a client whose session is here."""
        if scope["path"].startswith(self.sockets.endpoint.path):
            await self.sockets.requests(scope, receive, send)
        else:
            await self._private_web(scope, receive, send)

    def _door(self, path: str) -> Any:
        return self._ingest if path == INGEST_PATH else self._web
