import assert from "node:assert/strict";
import { test } from "node:test";
import { Fleet, measuresOf, placeOf, primaryOf, valueOf } from "../../../src/sensorcast/web/static/js/fleet.js";
import { reading, START_MS } from "./readings.mjs";

const now = START_MS + 60_000;

test("late data never moves the newest reading back", () => {
  const fleet = new Fleet();
  fleet.takeBatch("u", [reading(10, { temperature: 1 })], now);
  fleet.takeBatch("u", [reading(5, { temperature: 2 })], now);
  assert.equal(fleet.units.get("u").value, 1);
});

test("a snapshot adds what was missed and is not counted as late", () => {
  const fleet = new Fleet();
  fleet.takeLatest([reading(0, { unitId: "a" }), reading(0, { unitId: "b" })], now + 3_600_000);
  assert.deepEqual([...fleet.units.keys()], ["a", "b"]);
  assert.equal(fleet.check(START_MS).late, 0);
});

test("unit names that mean something to JavaScript are just names", () => {
  const fleet = new Fleet();
  for (const id of ["__proto__", "constructor", "toString", "hasOwnProperty"]) fleet.takeBatch(id, [reading(0)], now);
  assert.equal(fleet.units.size, 4);
  assert.equal({}.latest, undefined);
});

test("a metric called like something inherited has only its own value", () => {
  const odd = reading(0, { temperature: null, metrics: JSON.parse('{"__proto__": 5, "constructor": 6}') });
  assert.equal(primaryOf(odd), "metrics.__proto__");
  assert.equal(valueOf(odd, "metrics.__proto__"), 5);
  assert.equal(valueOf(odd, "metrics.toString"), null);
  assert.deepEqual(measuresOf(odd), ["metrics.__proto__", "metrics.constructor"]);
});

test("the site is what stands before the first separator of an id", () => {
  assert.deepEqual(placeOf("harbour.kitchen-fridge-01"), { site: "harbour", name: "kitchen-fridge-01" });
  assert.deepEqual(placeOf("a:b.c"), { site: "a", name: "b.c" });
  for (const id of ["fridge-7", ".x", "x.", ":"]) assert.deepEqual(placeOf(id), { site: "", name: id });
});

test("a unit is at the site that its newest reading names", () => {
  assert.deepEqual(placeOf("fridge-7", "harbour"), { site: "harbour", name: "fridge-7" });
  assert.deepEqual(placeOf("harbour.fridge-7", "harbour"), { site: "harbour", name: "fridge-7" });
  assert.deepEqual(placeOf("harbour.fridge-7", "airport"), { site: "airport", name: "harbour.fridge-7" });
  const fleet = new Fleet();
  fleet.takeBatch("u", [reading(0)], now);
  fleet.takeLatest([reading(0, { unitId: "u", siteId: "airport" })], now);
  fleet.takeBatch("u", [reading(1)], now);
  assert.equal(fleet.units.get("u").site, "airport");
});

const unit = (unitId, more = {}) => ({ unitId, name: "", siteId: null, area: "", metadata: {}, latest: null, ...more });

test("names are as registered; sites as readings say, else as registered, else as ids say", () => {
  const fleet = new Fleet();
  fleet.takeLatest(["pier.u-1", "pier.u-2", "truck"].map((unitId) => reading(0, { unitId, siteId: unitId === "truck" ? "airport" : null })), now);
  const registered = [unit("pier.u-1", { name: "Walk-in", siteId: "s-1", area: "Kitchen" }), unit("pier.u-2"), unit("truck", { siteId: "s-1" })];
  fleet.takeRegistry(registered, [{ siteId: "s-1", name: "Harbour" }]);
  const [one, two, truck] = fleet.units.values();
  assert.deepEqual([one.name, one.isNamed, one.site, one.siteName, one.area], ["Walk-in", true, "s-1", "Harbour", "Kitchen"]);
  assert.deepEqual([truck.site, truck.siteName], ["airport", "airport"]);
  assert.deepEqual([two.name, two.isNamed, two.site, two.siteName, two.area], ["u-2", false, "pier", "pier", ""]);
  fleet.takeRegistry([], []);
  assert.deepEqual([one.name, one.site, one.siteName], ["u-1", "pier", "pier"]);
});

test("a unit is where its newest reading was measured, also when an older one or the registry tells later", () => {
  const fleet = new Fleet();
  fleet.takeLatest([reading(5, { unitId: "u", siteId: "airport" })], now);
  fleet.takeLatest([reading(0, { unitId: "u", siteId: "harbour" })], now);
  assert.equal(fleet.units.get("u").site, "airport");
  fleet.takeBatch("u", [reading(9)], now);
  assert.equal(fleet.units.get("u").site, "airport");
  fleet.takeRegistry([unit("u", { siteId: "s-1", latest: reading(9, { unitId: "u", siteId: "s-1" }) })], []);
  assert.equal(fleet.units.get("u").site, "s-1");
  fleet.takeLatest([reading(10, { unitId: "u", siteId: null })], now);
  assert.equal(fleet.units.get("u").site, "s-1");
  fleet.takeRegistry([unit("u")], []);
  assert.equal(fleet.units.get("u").site, "");
});

test("registered units without a reading are awaited until their first", () => {
  const fleet = new Fleet();
  fleet.takeRegistry([unit("__proto__", { name: "Odd" }), unit("b"), unit("c", { latest: reading(0) })], []);
  assert.equal(fleet.awaited.size, 2);
  fleet.takeBatch("__proto__", [reading(0)], now);
  assert.equal(fleet.awaited.size, 1);
  assert.equal(fleet.units.get("__proto__").name, "Odd");
});

test("the interval follows a faster device at once and a slower one gradually", () => {
  const fleet = new Fleet();
  for (const second of [0, 5, 10, 310]) fleet.takeBatch("u", [reading(second)], now);
  assert.equal(fleet.units.get("u").intervalMs, 7_500);
});

test("the newest data is never from the future", () => {
  const fleet = new Fleet();
  fleet.takeBatch("u", [reading(7_200)], now);
  assert.equal(fleet.newestMs, now);
});
