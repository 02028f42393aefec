import assert from "node:assert/strict";
import { test } from "node:test";
import { ChartData } from "../../../src/sensorcast/web/static/js/chart_data.js";

const MEASURES = ["temperature"];
const none = { bucketMs: 1_000, times: [], measures: {} };

function series(times, mean, bucketMs = 1_000) {
  return { bucketMs, times, measures: { temperature: { low: mean, high: mean, mean } } };
}

test("history ends and live begins at the boundary: nothing twice, nothing missing", () => {
  const data = new ChartData(series([1_000, 2_000, 3_000], [1, 2, 3]), 3_000, MEASURES);
  data.add("late", 2_500, [99]);
  for (const [id, ms, value] of [["a", 3_000, 3], ["b", 4_000, 4], ["a", 3_000, 3], ["b", 4_000, 4]]) data.add(id, ms, [value]);
  const { times, columns } = data.columns(0, 10_000);
  assert.deepEqual(times, [1_000, 2_000, 3_000, 4_000]);
  assert.deepEqual(columns[0].mean, [1, 2, 3, 4]);
});

test("a reading from before the boundary is the server's to tell, and is remembered as late", () => {
  const data = new ChartData(none, 3_000, MEASURES);
  assert.equal(data.add("a", 2_999, [1]), false);
  assert.equal(data.lateBefore, true);
});

test("live readings of one bucket become its lowest, mean and highest", () => {
  const data = new ChartData({ ...none, bucketMs: 10_000 }, 0, MEASURES);
  [[1_000, 4], [2_000, 8], [3_000, 6]].forEach(([ms, value], index) => data.add(String(index), ms, [value]));
  const { times, columns } = data.columns(0, 10_000);
  assert.deepEqual(times, [2_000]);
  assert.deepEqual(columns[0], { mean: [6], low: [4], high: [8], banded: true });
});

test("a gap is shown as a gap, a device that measures seldom has none", () => {
  const gappy = new ChartData(series([1_000, 2_000, 3_000, 60_000, 61_000], [1, 2, 3, 4, 5]), 1e9, MEASURES).columns(0, 1e9);
  assert.deepEqual(gappy.columns[0].mean, [1, 2, 3, null, 4, 5]);
  const seldom = new ChartData(series([0, 300_000, 600_000], [1, 2, 3]), 1e9, MEASURES).columns(0, 1e9);
  assert.deepEqual(seldom.columns[0].mean, [1, 2, 3]);
});

test("only what lies in the span is given, in order of time", () => {
  const data = new ChartData(none, 0, MEASURES);
  for (const ms of [9_000, 2_000, 5_000]) data.add(String(ms), ms, [ms]);
  assert.deepEqual(data.columns(2_000, 6_000).times, [2_000, 5_000]);
});

test("a measure that a reading does not have stays empty there", () => {
  const data = new ChartData(none, 0, ["temperature", "humidity"]);
  data.add("a", 1_000, [5, null]);
  assert.deepEqual(data.columns(0, 2_000).columns.map(({ mean }) => mean), [[5], [null]]);
});
