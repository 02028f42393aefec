// The state of a unit, with the reasons for it in words. Pure: what time it is, is an argument.

import { age, measureOf, number } from "./format.js";

/** From worst to best; the order in which units are shown that need attention. */
export const STATES = ["offline", "warning", "stale", "late", "ok"];
export const STATE_LABELS = { offline: "Offline", warning: "Warning", stale: "Stale", late: "Late data", ok: "OK" };

export const LOW_BATTERY = 15;
export const WEAK_SIGNAL = -95;
const LATE_MS = 30_000; // network and flush take about a second; half a minute means the device held data back
const BROUGHT_IN = new Set(["import", "manual"]);
const LATE_SHOWN_MS = 120_000;
const STALE_AFTER = { intervals: 5, leastMs: 20_000 };
const OFFLINE_AFTER = { intervals: 20, leastMs: 900_000 };

function isSilent(unit, nowMs, after) {
  return nowMs - unit.recordedAtMs > Math.max(after.leastMs, after.intervals * unit.intervalMs);
}

/** Whether a reading took so long from the device to here that it counts as late; what was brought in later is not. */
export function isLate(reading, recordedAtMs, arrivedAtMs) {
  return arrivedAtMs - recordedAtMs > LATE_MS && !BROUGHT_IN.has(reading.source);
}

/** Give `{state, reasons}` of a unit of the fleet. */
export function healthOf(unit, nowMs) {
  const silence = `no data for ${age(nowMs - unit.recordedAtMs)}`;
  if (isSilent(unit, nowMs, OFFLINE_AFTER)) return { state: "offline", reasons: [silence] };
  const warnings = warningsOf(unit);
  if (isSilent(unit, nowMs, STALE_AFTER)) {
    return { state: warnings.length ? "warning" : "stale", reasons: [...warnings, silence] };
  }
  if (warnings.length) return { state: "warning", reasons: warnings };
  if (nowMs - unit.lateAtMs < LATE_SHOWN_MS) return { state: "late", reasons: [`sent ${age(unit.lateByMs)} of data late`] };
  return { state: "ok", reasons: [] };
}

function warningsOf(unit) {
  const { latest } = unit;
  const reasons = [];
  if (unit.deviation !== 0) {
    const { unit: sign, digits } = measureOf(unit.primary);
    const side = unit.deviation > 0 ? "above" : "below";
    reasons.push(`${number(Math.abs(unit.deviation), digits)}\u202f${sign} ${side} usual`);
  }
  if (latest.battery !== null && latest.battery <= LOW_BATTERY) reasons.push(`battery ${latest.battery}\u202f%`);
  if (latest.signalStrength !== null && latest.signalStrength <= WEAK_SIGNAL) {
    reasons.push(`weak signal ${number(latest.signalStrength, 0)}\u202fdBm`);
  }
  return reasons;
}
