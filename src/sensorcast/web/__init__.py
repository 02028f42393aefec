"""The web door: query API, registry, numbers for operators, API description and the dashboard.

Reading order: `queries`, `series`, `export`, `registry`, `registry_units`, `credentials`, `operations`, `pages`; around
them `access` (who may), `parameters` and `bodies` (what was asked), `answers` and `registry_shapes` (what goes out),
`described` and `openapi` (how it is described), `errors`, `security` and `dots` (around every one). The invariant: this
door only shows readings, it never changes one; what it changes are credentials and the registry.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from sensorcast.cluster.neighbours import Neighbours
from sensorcast.cluster.nodes import Node
from sensorcast.cluster.worker import ALONE
from sensorcast.quotas import Quotas
from sensorcast.store import KeyStore, ReadingStore, RegistryStore, RevocationStore, SeriesStore
from sensorcast.web import pages
from sensorcast.web.access import Access, Authenticator
from sensorcast.web.credentials import Credentials
from sensorcast.web.dots import DotIds
from sensorcast.web.errors import HANDLERS
from sensorcast.web.export import Export
from sensorcast.web.operations import ConnectionCount, Operations, Reasons, StatsSource
from sensorcast.web.queries import Queries
from sensorcast.web.registry import Devices, OrganizationItself, Sites
from sensorcast.web.registry_units import Units
from sensorcast.web.security import SecurityHeaders
from sensorcast.web.series import Charts


class Store(ReadingStore, SeriesStore, KeyStore, RevocationStore, RegistryStore, Protocol):
    """Readings as they are, and made small; credentials; the registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the web door reads from."""

    store: Store
    authenticator: Authenticator
    stats: StatsSource
    look: Callable[[], Awaitable[None]]
    """Makes this node take note of what was revoked."""
    registry_changed: Callable[[str], None]
    """Makes this node forget what it knew of the registry of an organization."""
    quotas: Quotas
    connections: ConnectionCount
    reasons: Reasons
    neighbours: Neighbours = field(default_factory=lambda: Neighbours(ALONE))
    """The other workers of this node."""
    nodes: Callable[[], Sequence[Node]] = tuple
    """Every node that is heard."""
    clock_s: Callable[[], float]
    """Seconds since 1970."""


def routes(sources: Sources) -> list[BaseRoute]:
    """Give every route of this door."""
    access = Access(sources.authenticator, sources.quotas, sources.clock_s)
    registry = (sources.store, access, sources.registry_changed, sources.clock_s)
    return [
        *OrganizationItself(*registry).routes(),
        *Sites(*registry).routes(),
        *Units(*registry).routes(),
        *Devices(*registry).routes(),
        *Queries(sources.store, access).routes(),
        *Export(sources.store, access).routes(),
        *Charts(sources.store, access).routes(),
        *Credentials(sources.store, access, look=sources.look, clock_s=sources.clock_s).routes(),
        *_operations(sources, access).routes(),
        *pages.routes(),
    ]


def _operations(sources: Sources, access: Access) -> Operations:
    return Operations(
        access,
        stats=sources.stats,
        quotas=sources.quotas,
        connections=sources.connections,
        reasons=sources.reasons,
        neighbours=sources.neighbours,
        nodes=sources.nodes,
        clock_s=sources.clock_s,
    )


def private_application(sources: Sources) -> ASGIApp:
    """Give what the other workers of this machine may ask, as an ASGI application."""
    access = Access(sources.authenticator, sources.quotas, sources.clock_s)
    return Starlette(routes=_operations(sources, access).private_routes())


def application(sources: Sources) -> ASGIApp:
    """Give this door as an ASGI application: one error form, and headers on every answer."""
    return SecurityHeaders(DotIds(Starlette(routes=routes(sources), exception_handlers=HANDLERS)))


__all__ = ["Sources", "application", "private_application", "routes"]
