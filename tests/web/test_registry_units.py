"""Claims about the list of units: what is registered and what has measured, once each, in stable pages."""

from __future__ import annotations

from .asking import ask, pages
from .conftest import Door

UNITS = "/api/orgs/acme/units"


async def test_a_unit_has_its_registration_and_its_newest_reading(door: Door) -> None:
    await door.store_readings("fridge-1", [60, 10])
    await ask(door, "PUT", "/sites/harbour", {"name": "Harbour"})
    unit = {"name": "Walk-in", "siteId": "harbour", "area": "Kitchen", "metadata": {"floor": 1}}
    await ask(door, "PUT", "/units/fridge-1", unit)
    (listed,) = (await door.get(UNITS)).json()["units"]
    shown = (await door.get(f"{UNITS}/fridge-1")).json()
    assert listed == shown
    assert {name: shown[name] for name in unit} == unit
    assert shown["latest"]["recordedAt"] == "2025-10-09T08:53:10.000000Z"


async def test_a_unit_may_have_no_reading_yet_or_no_registration(door: Door) -> None:
    await ask(door, "PUT", "/units/announced", {"name": "New"})
    await door.store_readings("wild", [10])
    announced, wild = (await door.get(UNITS)).json()["units"]
    assert (announced["name"], announced["latest"]) == ("New", None)
    assert (wild["name"], wild["siteId"], wild["area"], wild["metadata"]) == ("", None, "", {})
    assert (wild["latest"]["temperature"], "createdAt" in wild) == (4.5, False)
    assert (await door.get(f"{UNITS}/wild")).json() == wild


async def test_pages_merge_both_in_the_order_of_ids(door: Door) -> None:
    for number in range(0, 12, 2):
        await ask(door, "PUT", f"/units/u-{number:02d}", {"name": str(number)})
    for number in range(0, 12, 3):
        await door.store_readings(f"u-{number:02d}", [10])
    wanted = [f"u-{number:02d}" for number in range(12) if number % 2 == 0 or number % 3 == 0]
    for limit in range(1, 10):
        found = await pages(door, "/units", limit=str(limit))
        assert [unit["unitId"] for page in found for unit in page] == wanted
        assert all(len(page) == limit for page in found[:-1])
        for unit in (unit for page in found for unit in page):
            number = int(unit["unitId"][2:])
            assert (unit["name"] != "", unit["latest"] is not None) == (number % 2 == 0, number % 3 == 0)


async def test_units_of_a_site_are_those_registered_there(door: Door) -> None:
    await ask(door, "PUT", "/sites/harbour", {})
    for number in range(5):
        await ask(door, "PUT", f"/units/u-{number}", {"siteId": "harbour"} if number != 2 else {})
    await door.store_readings("u-3", [10])
    found = [unit for page in await pages(door, "/units", siteId="harbour", limit="2") for unit in page]
    assert [(unit["unitId"], unit["latest"] is not None) for unit in found] == [
        ("u-0", False), ("u-1", False), ("u-3", True), ("u-4", False)
    ]  # fmt: skip
    assert (await ask(door, "GET", "/units", siteId="nowhere")).json() == {"units": []}


async def test_removing_a_unit_removes_its_registration_and_never_its_readings(door: Door) -> None:
    await door.store_readings("fridge-1", [10])
    await ask(door, "PUT", "/units/fridge-1", {"name": "Walk-in"})
    assert (await ask(door, "DELETE", "/units/fridge-1")).status_code == 204
    unit = (await door.get(f"{UNITS}/fridge-1")).json()
    assert (unit["name"], unit["latest"]["temperature"]) == ("", 4.5)
    assert (await ask(door, "DELETE", "/units/fridge-1")).status_code == 404


async def test_the_history_of_a_registered_unit_without_readings_is_empty_not_unknown(door: Door) -> None:
    await ask(door, "PUT", "/units/announced", {})
    history = await door.get(f"{UNITS}/announced/readings")
    assert (history.status_code, history.json()) == (200, {"readings": []})
    assert (await door.get(f"{UNITS}/announced/latest")).status_code == 404
