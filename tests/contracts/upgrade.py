"""What holds of a database that an earlier version made, once this one has opened it: nothing is lost, all works.

A twin of an implementation makes such a database with the migrations and the statements of that version.
"""

from __future__ import annotations

from sensorcast.model import ApiKey, Device, Organization, RevocationKind, Scope, Unit, Verdict
from sensorcast.store import Store
from tests.contracts.store import OTHER_ID, history
from tests.readings import SECOND_US, T0_US, reading, series

KEPT = reading(device_id="d1", metrics={"co2": 400.0}, source="ttn", site_id="north")
"""The reading that the earlier version has stored; of `acme`, which has the key `k1` as well."""

GIVEN = (
    reading(at_us=-SECOND_US, given_id=OTHER_ID),
    reading(at_us=-2 * SECOND_US, given_id=reading("u2", -2 * SECOND_US).id),
)
"""Further readings, with ids of their own; the second one has the id that is derived for a reading to come."""

KEY = ApiKey(
    key_id="k1",
    organization_id="acme",
    name="gateway",
    secret_sha256="ab" * 32,
    created_at_us=T0_US,
    scopes=frozenset({Scope.INGEST, Scope.READ}),
)
"""Its key; another one, `k2`, is of `keyed`, which has never sent a reading. The user `ada` of `acme` is revoked."""


async def check_upgraded(store: Store) -> None:
    """Check what was kept, and that what came later works on it."""
    await _check_readings(store)
    await _check_credentials(store)
    await _check_registry(store)


async def _check_readings(store: Store) -> None:
    assert await history(store) == [KEPT, *GIVEN]
    other = reading(device_id="d1", temperature=9.0)
    new = reading(at_us=1)
    assert await store.append([KEPT, other, new, *series(2, "u2")]) == [
        *(Verdict.DUPLICATE, Verdict.CONFLICT),
        *[Verdict.STORED] * 3,
    ]
    copy, same_id = reading("u2", 9 * SECOND_US, given_id=KEPT.id), reading("u2", given_id=OTHER_ID)
    assert await store.append([*GIVEN, copy, same_id, reading("u2", -2 * SECOND_US)]) == [
        *[Verdict.DUPLICATE] * 2,
        *[Verdict.CONFLICT] * 3,
    ]
    assert await history(store) == [new, KEPT, *GIVEN]
    assert [each.unit_id for each in await store.units("acme", after=None, limit=9)] == ["u1", "u2"]


async def _check_credentials(store: Store) -> None:
    assert await store.find_key("k1") == KEY
    assert [(each.kind, each.subject) for each in await store.revocations_since(0)] == [(RevocationKind.USER, "ada")]
    assert await store.revoke_key("keyed", "k2", now_us=T0_US)
    assert [each.subject for each in await store.revocations_since(0)] == ["ada", "k2"]


async def _check_registry(store: Store) -> None:
    known = await store.list_organizations(after=None, limit=9)
    assert [each.organization_id for each in known] == ["acme", "keyed"]
    (unit,) = await store.list_entries(Unit, "acme", after=None, limit=9)
    assert (unit.unit_id, unit.name, unit.site_id) == ("u1", "", None)
    assert unit.created_at_us > T0_US - 10 * 365 * 86_400_000_000
    number, changed = await store.registry_changes(0)
    assert changed == []
    assert not await store.put_entry(Unit(organization_id="acme", unit_id="u1", name="Fridge", created_at_us=1))
    assert not await store.put_entry(Organization(organization_id="keyed", name="Keyed", created_at_us=1))
    found = await store.find_entry(Unit, "acme", "u1")
    assert found is not None
    assert (found.name, found.created_at_us) == ("Fridge", unit.created_at_us)
    assert await store.add_missing([unit, Device(organization_id="acme", device_id="d1", created_at_us=1)]) == 1
    assert (await store.registry_changes(number))[1] == ["acme", "keyed"]
