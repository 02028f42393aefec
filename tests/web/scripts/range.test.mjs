import assert from "node:assert/strict";
import { test } from "node:test";
import { isLive, moved, queryOf, rangeOf, scaled, spanAt } from "../../../src/sensorcast/web/static/js/range.js";

const of = (text) => rangeOf(new URLSearchParams(text));
const NOW = 10_000_000;

test("a range survives the address", () => {
  for (const text of ["range=15m", "range=7d", "from=1000&to=5000"]) assert.equal(queryOf(of(text)), text);
});

test("what is no range is the last hour", () => {
  for (const text of ["", "range=__proto__", "range=9y", "from=5&to=5", "from=x&to=y", "from=9&to=1"]) assert.equal(queryOf(of(text)), "range=1h", text);
});

test("a live range moves with the time, a fixed one does not", () => {
  assert.deepEqual(spanAt(of("range=15m"), NOW), [NOW - 900_000, NOW]);
  assert.deepEqual(spanAt(of("from=1&to=2"), NOW), [1, 2]);
  assert.deepEqual([isLive(of("range=15m")), isLive(of("from=1&to=2"))], [true, false]);
});

test("moving and zooming never look into the future", () => {
  assert.deepEqual(moved(of("from=1000&to=2000"), -0.5, NOW), { name: null, startMs: 500, endMs: 1_500 });
  assert.deepEqual(moved(of("range=15m"), 0.5, NOW), { name: null, startMs: NOW - 900_000, endMs: NOW });
  assert.deepEqual(scaled(of("from=100000&to=300000"), 0.5, NOW), { name: null, startMs: 150_000, endMs: 250_000 });
  assert.equal(scaled(of("range=15m"), 4, NOW).endMs, NOW);
});
