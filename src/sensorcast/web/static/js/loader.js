// Loads what units measured before this page was opened: the last 45 minutes for sparklines, a day for what is usual.
//
// One request at a time, units on screen first, so that a page with a thousand units asks little at once.

import { time } from "./api.js";
import { STEPS, STEP_MS } from "./recent.js";
import { DAY_POINTS, usualOf } from "./usual.js";

const UNITS_PER_REQUEST = 60;
const DAY_MS = 86_400_000;
const PAUSE_AFTER_ERROR_MS = 5_000;

export class Loader {
  constructor(api, onLoaded) {
    this.api = api;
    this.onLoaded = onLoaded;
    this.waiting = new Map();
    this.running = false;
    this.stopped = false;
  }

  /** Ask for units; those already waiting move to the front when they are `urgent`. */
  want(units, { urgent = false } = {}) {
    const asked = units.filter((unit) => !unit.loaded);
    if (urgent) this.waiting = new Map([...asked.map((unit) => [unit.id, unit]), ...this.waiting]);
    else for (const unit of asked) this.waiting.set(unit.id, unit);
    if (!this.running && this.waiting.size) this.run();
  }

  stop() {
    this.stopped = true;
  }

  async run() {
    this.running = true;
    while (this.waiting.size && !this.stopped) {
      const batch = this.nextBatch();
      try {
        await this.load(batch);
      } catch {
        // The live page does not depend on it: whatever is missing is asked for again when it is on screen.
        await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_ERROR_MS));
      }
    }
    this.running = false;
  }

  /** Take units with the same main measure off the queue. */
  nextBatch() {
    const [first] = this.waiting.values();
    const batch = [];
    for (const unit of this.waiting.values()) {
      if (unit.primary === first.primary) batch.push(unit);
      if (batch.length === UNITS_PER_REQUEST) break;
    }
    for (const unit of batch) this.waiting.delete(unit.id);
    return batch;
  }

  async load(batch) {
    const endMs = Date.now();
    const common = { unit: batch.map((unit) => unit.id), measure: batch[0].primary, end: time(endMs) };
    const span = (ms, points) => ({ ...common, start: time(endMs - ms), points });
    const [recent, day] = await Promise.all([
      this.api.get("/samples", span((STEPS - 1) * STEP_MS, STEPS)),
      this.api.get("/samples", span(DAY_MS, DAY_POINTS)),
    ]);
    for (const unit of batch) {
      unit.loaded = true;
      unit.recent.fill(Date.parse(recent.start), recent.bucketMs, recent.units[unit.id] ?? []);
      unit.usual = usualOf(day.units[unit.id] ?? [], unit.primary);
      unit.judge();
    }
    this.onLoaded(batch);
  }
}
