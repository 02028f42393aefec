"""The table of roles: who may do what, written out once more by hand."""

from __future__ import annotations

import pytest

from sensorcast.auth.roles import PERMISSIONS, ROLES_OF_SCOPES, Permission, check
from sensorcast.errors import Forbidden
from sensorcast.model import Identity, Role, Scope

EVERYBODY = {Permission.WATCH}
ADMINS = {Permission.READ_STATS, Permission.MANAGE_REGISTRY, Permission.MANAGE_KEYS, Permission.REVOKE}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("permission", list(Permission))
def test_each_role_may_do_what_the_table_says(role: Role, permission: Permission) -> None:
    may = permission in EVERYBODY or role is Role.OWNER or (role is Role.ADMIN and permission in ADMINS)
    identity = Identity(organization_id="acme", subject="me", role=role)
    if may:
        check(identity, permission)
    else:
        with pytest.raises(Forbidden, match="owner"):
            check(identity, permission)


def test_every_role_has_a_row() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_a_key_never_acts_as_an_owner_and_one_that_only_sends_as_nobody() -> None:
    assert ROLES_OF_SCOPES == {Scope.ADMIN: Role.ADMIN, Scope.READ: Role.VIEWER}
