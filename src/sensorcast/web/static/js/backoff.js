// When to try again. Pure: randomness is an argument.

const FIRST_MS = 500;
const LONGEST_MS = 20_000;

/** Give how long to wait before an attempt (0 is the first): doubling, and spread so that a herd does not come back at once. */
export function delayMs(attempt, random) {
  return Math.round(Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16)) * (0.5 + random / 2));
}
