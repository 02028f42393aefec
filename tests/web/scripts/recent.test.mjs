import assert from "node:assert/strict";
import { test } from "node:test";
import { median, Recent, STEP_MS, STEPS } from "../../../src/sensorcast/web/static/js/recent.js";

const at = (step) => step * STEP_MS;
const list = (values) => [...values].map((value) => (Number.isNaN(value) ? null : value));

test("values lie on a grid of time, with nothing where nothing was measured", () => {
  const recent = new Recent();
  recent.add(at(1_000), 1);
  recent.add(at(1_002) + 14_000, 3);
  assert.deepEqual(list(recent.upTo(1_003, 5)), [null, 1, null, 3, null]);
});

test("of several values in a step the last one counts", () => {
  const recent = new Recent();
  recent.add(at(5), 1);
  recent.add(at(5) + 1, 2);
  assert.deepEqual(list(recent.upTo(5, 1)), [2]);
});

test("late values find their place, values older than the window none", () => {
  const recent = new Recent();
  recent.add(at(1_000), 1);
  recent.add(at(990), 2);
  recent.add(at(1_000 - STEPS), 3);
  assert.equal(list(recent.upTo(1_000, 11))[0], 2);
  assert.equal(list(recent.upTo(1_000, STEPS)).filter((value) => value !== null).length, 2);
});

test("a long silence leaves nothing of before", () => {
  const recent = new Recent();
  recent.add(at(10), 1);
  recent.add(at(10 + 5 * STEPS), 2);
  assert.deepEqual(list(recent.upTo(10 + 5 * STEPS, STEPS)).filter((value) => value !== null), [2]);
});

test("loaded values fill in what is missing and change nothing that is known", () => {
  const recent = new Recent();
  recent.add(at(102), 9);
  recent.fill(at(100), STEP_MS, [1, null, 3, 4]);
  assert.deepEqual(list(recent.upTo(103, 4)), [1, null, 9, 4]);
});

test("the median leaves out what is not there, and is none of too few", () => {
  assert.equal(median([3, Number.NaN, 1, 2]), 2);
  assert.equal(median([1, 2]), 1.5);
  assert.ok(Number.isNaN(median([1, 2], 3)));
  assert.ok(Number.isNaN(median([])));
});
