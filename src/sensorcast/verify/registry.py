"""Operations on the registry: one's own entries, and attempts to see, name, change and remove those of others.

Called by `probe`, as part of its table. The invariant: every organization has entries of the same ids as all others,
each with its canary in names and metadata, so a change that goes astray shows at the next look.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final, Protocol

import httpx

from sensorcast.verify.tenant import NOBODY, SHARED_UNITS, SITE, Tenant

_SURFACE: Final = "registry"
_DEVICE: Final = "shared-device"
_UNKNOWN: Final = "entry-nobody-has"
_LISTS: Final = ("", "/sites?limit=1000", "/units?siteId={site}", "/devices?limit=1000", "/devices?unitId={unit}")


class Asker(Protocol):
    """Asks a server as a tenant, and takes note of what came back; `probe.Probe` is one."""

    @property
    def chance(self) -> random.Random: ...

    async def get(self, tenant: Tenant, path: str) -> httpx.Response: ...

    async def send(self, method: str, path: str, **content: Any) -> httpx.Response: ...

    def same(
        self,
        surface: str,
        tenant: Tenant,
        theirs: httpx.Response,
        unknown: httpx.Response,
        *,
        asked: tuple[str, str] = (NOBODY, NOBODY),
    ) -> None: ...

    def look(self, surface: str, tenant: Tenant, answer: httpx.Response) -> None: ...

    def expect_own(self, surface: str, tenant: Tenant, text: str) -> None: ...

    def find(self, surface: str, tenant: Tenant, what: str) -> None: ...


def _entries(tenant: Tenant) -> Mapping[str, dict[str, Any]]:
    """Every entry of a tenant by its path, those that others refer to first."""
    note = {"name": tenant.canary, "metadata": {tenant.canary: tenant.canary}}
    site_id, unit_id = f"site-{tenant.canary}", tenant.units[0]
    return {
        f"sites/{SITE}": note,
        f"sites/{site_id}": note,
        f"units/{unit_id}": note | {"siteId": site_id, "area": tenant.canary},
        f"units/{SHARED_UNITS[0]}": note | {"siteId": SITE},
        f"devices/{_DEVICE}": note | {"unitId": SHARED_UNITS[0]},
        f"devices/device-{tenant.canary}": note | {"unitId": unit_id},
    }


class RegistryOperations:
    """Operations on the registry of one server."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def fill(self, tenant: Tenant) -> None:
        """Register every entry of a tenant, and give it a name."""
        await self._write(tenant, "PATCH", "", {"name": tenant.canary})
        for path, body in _entries(tenant).items():
            await self._write(tenant, "PUT", f"/{path}", body)

    async def entries(self, tenant: Tenant, _other: Tenant) -> None:
        """Write one of one's own entries again, and see it, alone and in a list."""
        path, body = self._asker.chance.choice(list(_entries(tenant).items()))
        await self._write(tenant, "PUT", f"/{path}", body)
        listed = self._asker.chance.choice(_LISTS).format(site=SITE, unit=SHARED_UNITS[0])
        for each in (f"/{path}", listed):
            answer = await self._asker.get(tenant, f"/api/orgs/{tenant.organization_id}{each}")
            self._asker.look(_SURFACE, tenant, answer)
            self._asker.expect_own(_SURFACE, tenant, answer.text)

    async def removal(self, tenant: Tenant, other: Tenant) -> None:
        """Remove an entry that another has, too: it goes on to have it."""
        path = self._asker.chance.choice([f"units/{SHARED_UNITS[0]}", f"devices/{_DEVICE}"])
        await self._write(tenant, "DELETE", f"/{path}", None)
        theirs = await self._asker.get(other, f"/api/orgs/{other.organization_id}/{path}")
        self._asker.look(_SURFACE, other, theirs)
        if theirs.json().get("name") != other.canary:
            self._asker.find(_SURFACE, tenant, "it could remove an entry of another")
        await self._write(tenant, "PUT", f"/{path}", _entries(tenant)[path])

    async def entries_of_others(self, tenant: Tenant, other: Tenant) -> None:
        """Do to entries of another what one may do to one's own: answered like an organization that does not exist."""
        path, body = self._asker.chance.choice([("", {"name": tenant.canary}), *_paths_and_bodies(other, tenant)])
        method = self._asker.chance.choice(("GET", "PATCH") if path == "" else ("GET", "PUT", "DELETE"))
        answers = [
            await self._request(tenant, method, f"/api/orgs/{each}{path}", body)
            for each in (other.organization_id, NOBODY)
        ]
        self._asker.same(_SURFACE, tenant, answers[0], answers[1])
        kept = await self._asker.get(other, f"/api/orgs/{other.organization_id}{path}")
        if kept.status_code != 200 or kept.json()["name"] != other.canary:
            self._asker.find(_SURFACE, tenant, "it could change an entry of another")

    async def names_of_others(self, tenant: Tenant, other: Tenant) -> None:
        """Name what another has, within one's own organization: answered like what nobody has."""
        own = f"/api/orgs/{tenant.organization_id}"
        kind, field, prefix = self._asker.chance.choice((("units", "siteId", "site-"), ("devices", "unitId", "unit-")))
        asked = (f"{prefix}{other.canary}", _UNKNOWN)
        method, path, bodies = self._asker.chance.choice(
            (
                ("PUT", f"/{kind}/own", [{field: each} for each in asked]),
                ("PUT", f"/{kind}/own", [{"organizationId": each} for each in (other.organization_id, NOBODY)]),
                ("GET", f"/{kind}?{field}={{}}", [None, None]),
                ("GET", f"/{prefix[:-1]}s/{{}}", [None, None]),
                ("DELETE", f"/{prefix[:-1]}s/{{}}", [None, None]),
            )
        )
        theirs, unknown = [
            await self._request(tenant, method, own + path.format(name), body)
            for name, body in zip(asked, bodies, strict=True)
        ]
        self._asker.same(_SURFACE, tenant, theirs, unknown, asked=asked)

    async def _write(self, tenant: Tenant, method: str, path: str, body: Any) -> None:
        answer = await self._request(tenant, method, f"/api/orgs/{tenant.organization_id}{path}", body)
        self._asker.look(_SURFACE, tenant, answer)
        if not answer.is_success:
            self._asker.find(_SURFACE, tenant, f"a change of its own was not taken: {answer.status_code}")

    async def _request(self, tenant: Tenant, method: str, path: str, body: Any) -> httpx.Response:
        content = {} if body is None or method in ("GET", "DELETE") else {"json": body}
        return await self._asker.send(method, path, headers={"Authorization": f"Bearer {tenant.token}"}, **content)


def _paths_and_bodies(other: Tenant, tenant: Tenant) -> list[tuple[str, dict[str, Any]]]:
    """Paths of another's entries, with what a tenant would write there."""
    return [(f"/{path}", {"name": tenant.canary}) for path in _entries(other)]
