"""The table of what each role may do. Nothing else decides it: doors ask `check`, the documentation is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sensorcast.errors import Forbidden
from sensorcast.model import Identity, Role, Scope


class Permission(StrEnum):
    """Something a member of an organization may do in it; the value is how people call it."""

    WATCH = "see readings: live, latest, history, export; and the registry"
    READ_STATS = "see usage and statistics"
    MANAGE_REGISTRY = "name, place and remove sites, units and devices; name the organization"
    MANAGE_KEYS = "create, list and revoke API keys"
    REVOKE = "revoke tokens and users"
    REVOKE_ALL = "revoke every credential of the organization"


_MEMBER: Final = frozenset({Permission.WATCH})
_ADMIN: Final = _MEMBER | {
    Permission.READ_STATS,
    Permission.MANAGE_REGISTRY,
    Permission.MANAGE_KEYS,
    Permission.REVOKE,
}

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.OWNER: _ADMIN | {Permission.REVOKE_ALL},
        Role.ADMIN: _ADMIN,
        Role.MANAGER: _MEMBER,
        Role.STAFF: _MEMBER,
        Role.VIEWER: _MEMBER,
    }
)

ROLES_OF_SCOPES: Final[Mapping[Scope, Role]] = MappingProxyType({Scope.ADMIN: Role.ADMIN, Scope.READ: Role.VIEWER})
"""As whom an API key acts where people act; the first scope it has counts. `ingest` alone acts as nobody."""


def check(identity: Identity, permission: Permission) -> None:
    """Raise `Forbidden`, naming the roles that may, when this identity's role may not."""
    if permission not in PERMISSIONS[identity.role]:
        allowed = " or ".join(role for role, permitted in PERMISSIONS.items() if permission in permitted)
        raise Forbidden(f"this needs the role {allowed}")
