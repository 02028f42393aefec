"""What is remembered of the registry: bounded, and never older than the last change."""

from __future__ import annotations

from sensorcast.metrics import REGISTRY
from sensorcast.model import Device, Unit
from sensorcast.registry.known import Known, Memory


def unit(unit_id: str, site_id: str | None = None) -> Unit:
    return Unit(organization_id="acme", unit_id=unit_id, site_id=site_id, created_at_us=1)


def device(device_id: str) -> Device:
    return Device(organization_id="acme", device_id=device_id, created_at_us=1)


def learned(memory: Memory, organization_id: str, *unit_ids: str) -> Known:
    known = memory.of(organization_id, 0.0)
    before = len(known)
    known.learn(unit_ids, map(unit, unit_ids), otherwise=None)
    memory.note_growth(organization_id, known, before)
    return known


def test_units_stand_where_they_were_found_and_the_others_are_missing():
    known = Known()
    known.learn(["a", "b", "c"], [unit("a", "north"), unit("b")], otherwise=False)
    assert known.sites == {"a": "north", "b": None, "c": False}
    assert known.missing == {"c"}


def test_an_expected_entry_that_was_confirmed_is_not_doubted():
    known = Known()
    known.learn(["a", "b", "c"], [], otherwise=None)
    for entry in (unit("a"), unit("b"), device("x"), device("y")):
        known.expect(entry)
    known.full.add(Unit)
    known.confirm(unit("a"))
    known.confirm(device("x"))
    assert (set(known.sites), known.devices, known.missing) == ({"a", "b", "c"}, {None, "x", "y"}, {"c"})
    known.doubt()
    assert (set(known.sites), known.devices, known.missing, known.full) == ({"a"}, {None, "x"}, set(), set())


def test_what_was_missing_is_doubted_after_a_while_and_what_was_found_is_not():
    memory = Memory(100, 5.0)
    memory.of("acme", 0.0).learn(["a", "b"], [unit("a", "north")], otherwise=False)
    assert memory.of("acme", 4.9).sites == {"a": "north", "b": False}
    assert memory.of("acme", 5.0).sites == {"a": "north"}
    assert memory.of("acme", 1e9).sites == {"a": "north"}


def test_a_forgotten_organization_starts_anew_and_the_others_stay():
    memory = Memory(100, 5.0)
    old, other = learned(memory, "acme", "a"), learned(memory, "globex", "a")
    memory.forget("acme")
    memory.forget("unheard-of")
    old.learn(["late"], [], otherwise=None)
    assert memory.of("acme", 0.0).sites == {}
    assert memory.of("globex", 0.0) is other


def test_alike_units_of_two_organizations_are_remembered_apart():
    memory = Memory(100, 5.0)
    memory.of("acme", 0.0).learn(["a"], [unit("a", "north")], otherwise=None)
    memory.of("globex", 0.0).learn(["a"], [], otherwise=None)
    assert (memory.of("acme", 0.0).sites["a"], memory.of("globex", 0.0).sites["a"]) == ("north", None)


def test_when_there_is_too_much_the_organization_with_most_is_forgotten():
    memory = Memory(20, 5.0)
    small = learned(memory, "small", "a")
    learned(memory, "large", *map(str, range(10)))
    also_small = learned(memory, "also-small", *map(str, range(7)))
    assert memory.of("small", 0.0) is small
    assert memory.of("also-small", 0.0) is also_small
    assert memory.of("large", 0.0).sites == {}
    assert REGISTRY.get_sample_value("sensorcast_registry_cached_entries") == 2 + 8 + 1


def test_an_organization_larger_than_everything_is_forgotten_and_can_go_on():
    memory = Memory(5, 5.0)
    known = learned(memory, "acme", *map(str, range(50)))
    assert len(known.sites) == 50
    assert memory.of("acme", 0.0).sites == {}
    assert REGISTRY.get_sample_value("sensorcast_registry_cached_entries") == 1
