"""What operators and their tools ask: is it alive, can it work, what does it hold, its metrics.

The invariant: health and readiness never touch anything that can block for long, and tell no secrets, because they are
open to everybody who can reach the port; numbers of an organization are for its own admins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sensorcast import __version__, metrics
from sensorcast.broadcaster import ServiceStats
from sensorcast.cluster.neighbours import Neighbours
from sensorcast.cluster.nodes import Node
from sensorcast.quotas import Quotas
from sensorcast.web import answers
from sensorcast.web.access import Access

STATS_PATH: Final = "/api/stats"
HEALTH_PATH: Final = "/healthz"
READINESS_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Reasons = Callable[[], Awaitable[Sequence[str]]]
"""Why the server cannot do its work now; empty when it can."""
ConnectionCount = Callable[[str], int]
"""How many connections of the organization are open on this node."""


class StatsSource(Protocol):
    """Knows what the stream holds; `broadcaster.SensorStreamService` is one."""

    def get_stats(self, organization_id: str | None = None) -> ServiceStats:
        """Sizes and last flush of one organization, or of all for None."""
        ...


class Operations:
    """Handlers for operators."""

    def __init__(
        self,
        access: Access,
        *,
        stats: StatsSource,
        quotas: Quotas,
        connections: ConnectionCount,
        reasons: Reasons,
        neighbours: Neighbours,
        nodes: Callable[[], Sequence[Node]],
        clock_s: Callable[[], float],
    ) -> None:
        self._access = access
        self._stats = stats
        self._quotas = quotas
        self._connections = connections
        self._reasons = reasons
        self._neighbours = neighbours
        self._nodes = nodes
        self._clock_s = clock_s

    def routes(self) -> list[Route]:
        """Give the routes to mount."""
        return [
            Route(STATS_PATH, self.stats),
            Route(HEALTH_PATH, self.health),
            Route(READINESS_PATH, self.readiness),
            Route(METRICS_PATH, self.metrics),
        ]

    def private_routes(self) -> list[Route]:
        """Give what other workers of this machine ask of this one; never to be mounted where anybody else can ask."""
        return [
            Route(f"{STATS_PATH}/{{organization_id}}", self._own_stats),
            Route(METRICS_PATH, self._own_metrics),
        ]

    async def stats(self, request: Request) -> Response:
        """Answer what this node holds for the organization of an admin or owner; connections and use of all workers."""
        organization_id = (await self._access.operator(request)).organization_id
        total = msgspec.structs.replace(self._held(organization_id), nodes=self._known_nodes())
        for body in (await self._neighbours.ask(f"{STATS_PATH}/{quote(organization_id)}")).values():
            total = total.with_use_of(msgspec.json.decode(body, type=answers.Stats))
        return answers.json_response(total)

    def _known_nodes(self) -> list[answers.ClusterNode]:
        now_s = self._clock_s()
        return [
            answers.ClusterNode(
                name=node.name,
                origin=node.origin,
                since_s=max(0.0, round(now_s - node.since_us / 1_000_000, 3)),
                is_self=node.is_self,
            )
            for node in self._nodes()
        ]

    async def _own_stats(self, request: Request) -> Response:
        return answers.json_response(self._held(request.path_params["organization_id"]))

    def _held(self, organization_id: str) -> answers.Stats:
        held = self._stats.get_stats(organization_id)
        used = self._quotas.usage(organization_id)
        return answers.Stats(
            buffered_readings=held.buffered_readings,
            cached_units=held.cached_units,
            buffer_keys=held.buffer_keys,
            connections=self._connections(organization_id),
            usage=answers.Usage(
                requests=used.requests,
                readings=used.readings,
                outbound_bytes=used.outbound_bytes,
                refused=used.refused,
                subscriptions=used.subscriptions,
            ),
            flush=answers.Flush(
                readings=held.flush.readings, units=held.flush.units, duration_ms=held.flush.duration_ms
            ),
        )

    async def health(self, _: Request) -> Response:
        """Answer that the process runs and its event loop turns."""
        return answers.json_response(answers.Health(status="ok", version=__version__))

    async def readiness(self, _: Request) -> Response:
        """Answer 200 when readings can be taken, else 503 and why not."""
        reasons = await self._reasons()
        return answers.json_response(
            answers.Readiness(ready=not reasons, reasons=reasons), status=503 if reasons else 200
        )

    async def metrics(self, _: Request) -> Response:
        """Answer every metric in the Prometheus text format, of all workers where there are several."""
        pages = await self._neighbours.ask(METRICS_PATH)
        metrics.WORKERS_ANSWERED.set(1 + len(pages))
        page = metrics.render()
        worker = self._neighbours.worker
        if worker.count > 1:
            page = metrics.merge({worker.index: page, **pages})
        return Response(page, headers={"Content-Type": _METRICS_TYPE})

    async def _own_metrics(self, _: Request) -> Response:
        return Response(metrics.render(), headers={"Content-Type": _METRICS_TYPE})
