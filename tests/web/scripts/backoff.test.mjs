import assert from "node:assert/strict";
import { test } from "node:test";
import { delayMs } from "../../../src/sensorcast/web/static/js/backoff.js";

test("waits double, are spread by half, and end at twenty seconds", () => {
  assert.deepEqual([0, 1, 2, 10, 1_000].map((attempt) => delayMs(attempt, 1)), [500, 1_000, 2_000, 20_000, 20_000]);
  assert.equal(delayMs(3, 0), 2_000);
});
