import assert from "node:assert/strict";
import { test } from "node:test";
import { grouped, laidOut, matches, SORTS, within } from "../../../src/sensorcast/web/static/js/arrange.js";
import { Fleet } from "../../../src/sensorcast/web/static/js/fleet.js";
import { reading, START_MS } from "./readings.mjs";

function fleetOf(...units) {
  const fleet = new Fleet();
  for (const [id, temperature = 4, state = "ok"] of units) {
    fleet.takeBatch(id, [reading(0, { temperature })], START_MS);
    fleet.units.get(id).health = { state, reasons: [] };
  }
  return fleet.units.values();
}

const names = (groups) => groups.map(({ title, units }) => [title, ...units.map((unit) => unit.id)]);

test("units that need attention come first, worst first, the others by site", () => {
  const units = fleetOf(["b.1"], ["a.2", 4, "stale"], ["a.10"], ["a.1"], ["c.1", 4, "offline"], ["b.2", 4, "late"]);
  assert.deepEqual(names(grouped(units, { sort: "attention" })), [
    ["Needs attention", "c.1", "a.2"], ["a", "a.1", "a.10"], ["b", "b.1", "b.2"],
  ]);
});

test("sorted by name every unit stays at its site, numbers in their order", () => {
  const units = fleetOf(["a.10", 4, "offline"], ["a.9"], ["solo"]);
  assert.deepEqual(names(grouped(units, { sort: "name" })), [["No site", "solo"], ["a", "a.9", "a.10"]]);
});

test("sorted by a value units without it come last", () => {
  const units = fleetOf(["a.1", 4], ["a.2", null], ["a.3", 9]);
  assert.deepEqual(names(grouped(units, { sort: "warmest" })), [[SORTS.warmest.label, "a.3", "a.1", "a.2"]]);
});

test("a search wants every word, a filter one of its states", () => {
  const units = [...fleetOf(["harbour.kitchen-fridge-01"], ["harbour.walk-in-01", 4, "stale"])];
  assert.equal(matches(units[0], "fridge HARB tx-1"), true);
  assert.equal(matches(units[0], "fridge airport"), false);
  assert.deepEqual(names(grouped(units, { states: new Set(["stale"]), sort: "name" })), [["harbour", "harbour.walk-in-01"]]);
  assert.deepEqual(grouped(units, { search: "nothing" }), []);
});

test("sites are in the order of their names, and two of one name stay two", () => {
  const fleet = new Fleet();
  const registered = [["u1", "s-1"], ["u2", "s-2"], ["u3", "s-3"], ["u4", null]].map(([unitId, siteId]) => ({ unitId, siteId, name: "", area: "Cellar", latest: null }));
  fleet.takeRegistry(registered, [{ siteId: "s-1", name: "Pier" }, { siteId: "s-2", name: "Harbour" }, { siteId: "s-3", name: "Harbour" }]);
  for (const { unitId } of registered) fleet.takeBatch(unitId, [reading(0)], START_MS);
  const groups = grouped(fleet.units.values(), { sort: "name" });
  assert.deepEqual(names(groups), [["No site", "u4"], ["Harbour", "u2"], ["Harbour", "u3"], ["Pier", "u1"]]);
  const { items } = laidOut(groups, { columns: 1, unitWidth: 1, unitHeight: 1, gap: 0, headHeight: 1, left: 0 });
  assert.equal(new Set(items.map(({ key }) => key)).size, items.length);
  assert.equal(matches(fleet.units.get("u1"), "pier cellar"), true);
});

test("units are laid out in columns below their heading, and only near ones are given", () => {
  const shape = { columns: 2, unitWidth: 100, unitHeight: 40, gap: 10, headHeight: 30, left: 5 };
  const { items, height } = laidOut(grouped(fleetOf(["a.1"], ["a.2"], ["a.3"]), { sort: "name" }), shape);
  assert.deepEqual(items.map(({ x, y }) => [x, y]), [[0, 0], [5, 30], [115, 30], [5, 80]]);
  assert.equal(height, 130);
  assert.deepEqual(within(items, 75, 200).map(({ y }) => y), [80]);
  assert.deepEqual(within(items, 0, 10).map(({ y }) => y), [0]);
});
