import assert from "node:assert/strict";
import { test } from "node:test";
import { age, count, measureOf, number, quantity } from "../../../src/sensorcast/web/static/js/format.js";

test("numbers have a true minus, a fixed number of digits, and a dash for none", () => {
  const cases = [[4.25, 1, "4.3"], [-18.04, 1, "−18.0"], [-0.04, 1, "0.0"], [0, 0, "0"], [null, 1, "–"], [undefined, 1, "–"],
    [Number.NaN, 1, "–"], [0.5, null, "0.5"], [1, null, "1"], [-2.34567, null, "−2.346"], [1e21, 1, "1.000e+21"]];
  for (const [value, digits, text] of cases) assert.equal(number(value, digits), text);
});

test("metric names say their unit by their ending", () => {
  const cases = [["metrics.powerW", "Power", "W"], ["metrics.doorOpen", "Door open", ""], ["metrics.co2Ppm", "Co2", "ppm"],
    ["metrics.supply_voltage_V", "Supply voltage", "V"], ["metrics.W", "W", ""], ["metrics.__proto__", "Proto", ""],
    ["metrics.constructor", "Constructor", ""], ["temperature", "Temperature", "°C"]];
  for (const [measure, label, unit] of cases) {
    const about = measureOf(measure);
    assert.deepEqual([about.label, about.unit], [label, unit], measure);
  }
});

test("a value is written with its unit, none without", () => {
  assert.equal(quantity(4.2, measureOf("temperature")), "4.2\u202f°C");
  assert.equal(quantity(null, measureOf("temperature")), "–");
  assert.equal(quantity(3, measureOf("metrics.doors")), "3");
});

test("ages are short and never negative", () => {
  const cases = [[-5_000, "0 s"], [900, "1 s"], [59_400, "59 s"], [61_000, "1 min"], [7_200_000, "2 h"], [3 * 86_400_000, "3 d"]];
  for (const [ms, text] of cases) assert.equal(age(ms), text.replace(" ", "\u202f"));
});

test("one is singular", () => assert.deepEqual([count(1, "unit"), count(1_200, "unit")], ["1 unit", "1,200 units"]));
