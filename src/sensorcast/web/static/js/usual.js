// What is usual for a unit, learnt from a sample of its last day; and how far it is from that now. Pure.
//
// The browser knows no limits of a unit, but a fridge that was at 5 °C all day and is at 10 °C now deserves a look.
// A door or a defrost is over in minutes, so what counts is the middle of the last 45 minutes, not the last value.

import { median } from "./recent.js";

export const DAY_POINTS = 96;
const SAMPLES_MIN = 12;
const RECENT_MIN = 8;
const SPREADS = 2.5; // in quartile distances: beyond what compressor cycles and defrosts do to the middle of 45 minutes
const LEAST = { temperature: 1.5, humidity: 12 };

/** Learn from values of the last day; null when there are too few to know. */
export function usualOf(values, measure) {
  const sorted = Float64Array.from(values.filter((value) => value !== null)).sort();
  if (sorted.length < SAMPLES_MIN) return null;
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const least = Object.hasOwn(LEAST, measure) ? LEAST[measure] : Number.POSITIVE_INFINITY;
  return { middle: at(0.5), tolerance: Math.max(least, SPREADS * (at(0.75) - at(0.25))) };
}

/** Give how far the recent values are from the usual ones; 0 when that is nothing out of the ordinary. */
export function deviationOf(recentValues, usual) {
  if (usual === null) return 0;
  const distance = median(recentValues, RECENT_MIN) - usual.middle;
  return Math.abs(distance) > usual.tolerance ? distance : 0;
}
