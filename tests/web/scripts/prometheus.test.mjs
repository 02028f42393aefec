import assert from "node:assert/strict";
import { test } from "node:test";
import { mean, parsed, rate, total } from "../../../src/sensorcast/web/static/js/prometheus.js";

const TEXT = `# HELP x_total Things.
# TYPE x_total counter
x_total{outcome="stored"} 12.0
x_total{outcome="a \\"quoted\\" one"} 3.0
x_created 1.7e+09
d_seconds_count 4.0
d_seconds_sum 0.5
broken line
`;
const scrape = (atMs, text) => ({ atMs, samples: parsed(text) });

test("samples have names, labels and values; comments and broken lines do not count", () => {
  assert.equal(parsed(TEXT).length, 5);
  assert.equal(total(parsed(TEXT), "x_total"), 15);
  assert.equal(total(parsed(TEXT), "x_total", { outcome: "stored" }), 12);
  assert.equal(total(parsed(TEXT), "missing"), 0);
});

test("a rate is what was added over the time between, none after a restart", () => {
  const [before, after] = [scrape(0, "x_total 10"), scrape(2_000, "x_total 16")];
  assert.equal(rate(before, after, "x_total"), 3);
  assert.equal(rate(after, { ...before, atMs: 4_000 }, "x_total"), null);
  assert.equal(rate(before, before, "x_total"), null);
});

test("a mean is of what was seen between, none when nothing was", () => {
  const before = scrape(0, "d_seconds_count 4\nd_seconds_sum 1");
  const after = scrape(2_000, "d_seconds_count 6\nd_seconds_sum 2");
  assert.equal(mean(before, after, "d_seconds"), 0.5);
  assert.equal(mean(before, before, "d_seconds"), null);
});
