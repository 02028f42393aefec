import assert from "node:assert/strict";
import { test } from "node:test";
import { Fleet } from "../../../src/sensorcast/web/static/js/fleet.js";
import { healthOf, isLate } from "../../../src/sensorcast/web/static/js/health.js";
import { reading, START_MS } from "./readings.mjs";

function unit(values = {}, everySeconds = 1) {
  const fleet = new Fleet();
  for (let second = 0; second < 30; second += everySeconds) fleet.takeBatch("u", [reading(second, values)], START_MS + second * 1_000);
  return fleet.units.get("u");
}

const last = (made) => made.recordedAtMs;

test("a unit that measures as always is ok", () => {
  const made = unit({ battery: 90, signalStrength: -60 });
  assert.deepEqual(healthOf(made, last(made) + 2_000), { state: "ok", reasons: [] });
});

test("silence makes a unit stale, then offline, by how often it used to measure", () => {
  const fast = unit();
  assert.equal(healthOf(fast, last(fast) + 19_000).state, "ok");
  assert.equal(healthOf(fast, last(fast) + 21_000).state, "stale");
  assert.equal(healthOf(fast, last(fast) + 901_000).state, "offline");
  const slow = unit({}, 15);
  assert.equal(healthOf(slow, last(slow) + 70_000).state, "ok");
});

test("a low battery, a weak signal and a deviation are warnings with their reasons", () => {
  const made = unit({ battery: 9, signalStrength: -99 });
  made.deviation = 5.81;
  const { state, reasons } = healthOf(made, last(made));
  assert.equal(state, "warning");
  assert.deepEqual(reasons, ["5.8\u202f°C above usual", "battery 9\u202f%", "weak signal −99\u202fdBm"]);
});

test("data that took half a minute to come is late, and soon forgotten", () => {
  assert.equal(isLate(reading(), START_MS, START_MS + 31_000), true);
  assert.equal(isLate(reading(), START_MS, START_MS + 3_000), false);
  assert.equal(isLate(reading(0, { source: "import" }), START_MS, START_MS + 86_400_000), false);
  const fleet = new Fleet();
  const now = START_MS + 100_000;
  fleet.takeBatch("u", [reading(0), reading(40), reading(100)], now);
  const made = fleet.units.get("u");
  assert.deepEqual(healthOf(made, now), { state: "late", reasons: ["sent 1\u202fmin of data late"] });
  fleet.takeBatch("u", [reading(240)], START_MS + 240_000);
  assert.equal(healthOf(made, START_MS + 240_000).state, "ok");
});
