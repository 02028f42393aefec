import assert from "node:assert/strict";
import { test } from "node:test";
import { statusText } from "../../../src/sensorcast/web/static/js/connection_chip.js";
import { resolved } from "../../../src/sensorcast/web/static/js/docs.js";
import { runsOf } from "../../../src/sensorcast/web/static/js/sparkline.js";

const NONE = Number.NaN;

test("a curve is broken where more is missing than the device usually leaves out", () => {
  const values = Float64Array.of(1, 2, NONE, 3, NONE, NONE, NONE, 4);
  assert.deepEqual(runsOf(values, 2, 100, 20).map((run) => run.length), [3, 1]);
  assert.deepEqual(runsOf(values, 5, 100, 20).map((run) => run.length), [4]);
  assert.deepEqual(runsOf(Float64Array.of(NONE, NONE), 2, 100, 20), []);
});

test("noise smaller than a degree is drawn flat, in the middle", () => {
  const [[first, second]] = runsOf(Float64Array.of(4, 4.01), 2, 100, 20);
  assert.ok(Math.abs(first[1] - second[1]) < 0.5 && Math.abs(first[1] - 10) < 1);
});

test("the connection is said in words, with the countdown and the age of the data", () => {
  assert.equal(statusText({ state: "live" }, 500, 0), "Live");
  assert.equal(statusText({ state: "live" }, 90_000, 0), "Live, newest data 1\u202fmin old");
  assert.equal(statusText({ state: "live" }, Number.POSITIVE_INFINITY, 0), "Live, no data yet");
  assert.equal(statusText({ state: "reconnecting", nextAtMs: 4_000 }, 500, 1_000), "Reconnecting in 3\u202fs");
  assert.equal(statusText({ state: "live" }, 500, 1_000, 46_000), "Live, access ends in 45\u202fs");
  assert.equal(statusText({ state: "offline" }, 500, 0), "No network");
  assert.match(statusText({ state: "degraded", reason: "slow" }, 500, 0), /^Slow connection/);
  assert.match(statusText({ state: "degraded", reason: "bus" }, 500, 0), /^Server is catching up/);
  assert.equal(statusText({ state: "degraded", reason: "new" }, 500, 0), "Some values may be missing");
});

test("a schema that contains itself ends", () => {
  const components = { Node: { properties: { next: { $ref: "#/components/schemas/Node" } } } };
  assert.deepEqual(resolved({ $ref: "#/components/schemas/Node" }, components), { properties: { next: { type: "Node" } } });
});
