import assert from "node:assert/strict";
import { test } from "node:test";
import { deviationOf, usualOf } from "../../../src/sensorcast/web/static/js/usual.js";

const cycling = Array.from({ length: 96 }, (_, index) => 4 + Math.sin(index));

test("a unit that cycles as always deviates by nothing", () => {
  assert.equal(deviationOf(cycling, usualOf(cycling, "temperature")), 0);
});

test("a unit that left its range deviates by how far", () => {
  const distance = deviationOf(cycling.map((value) => value + 6), usualOf(cycling, "temperature"));
  assert.ok(Math.abs(distance - 6) < 0.2, String(distance));
});

test("a short spike, like a defrost, is nothing out of the ordinary", () => {
  const spiked = cycling.map((value, index) => (index < 40 ? value + 9 : value));
  assert.equal(deviationOf(spiked, usualOf(cycling, "temperature")), 0);
});

test("what was hardly measured is not judged", () => {
  assert.equal(usualOf([1, null, 2], "temperature"), null);
  assert.equal(deviationOf(cycling, null), 0);
  assert.equal(deviationOf([100], usualOf(cycling, "temperature")), 0);
});

test("a measure whose ordinary noise is unknown is not judged", () => {
  assert.equal(deviationOf(cycling.map((value) => value + 100), usualOf(cycling, "metrics.powerW")), 0);
});
