// What a unit measured lately: one value per 15 seconds for 45 minutes, in a fixed amount of memory. Pure.

export const STEP_MS = 15_000;
export const STEPS = 180;
export const SHOWN_STEPS = 60;

/** A ring of values on a grid of time; the newest step moves on with time, older ones fall off. */
export class Recent {
  constructor() {
    this.values = new Float64Array(STEPS).fill(Number.NaN);
    this.lastStep = 0;
  }

  /** Take the value of a moment. Of several within a step the last one counts; what is too old is left out. */
  add(timeMs, value) {
    const step = Math.floor(timeMs / STEP_MS);
    this.advance(step);
    if (step > this.lastStep - STEPS) this.values[step % STEPS] = value;
  }

  /** Move the newest step to `step`, or stay where it is when that is in the past; give whether it moved. */
  advance(step) {
    if (step <= this.lastStep) return false;
    for (let next = Math.max(this.lastStep + 1, step - STEPS + 1); next <= step; next += 1) this.values[next % STEPS] = Number.NaN;
    this.lastStep = step;
    return true;
  }

  /** Fill in values loaded from the server, without touching steps that are known already. */
  fill(startMs, stepMs, values) {
    values.forEach((value, index) => {
      if (value === null) return;
      const step = Math.floor((startMs + index * stepMs) / STEP_MS);
      if (step > this.lastStep) this.advance(step);
      if (step > this.lastStep - STEPS && Number.isNaN(this.values[step % STEPS])) this.values[step % STEPS] = value;
    });
  }

  /** Give the newest `howMany` values up to a step, oldest first, NaN where there is none. */
  upTo(step, howMany) {
    const picked = new Float64Array(howMany).fill(Number.NaN);
    for (let index = 0; index < howMany; index += 1) {
      const at = step - howMany + 1 + index;
      if (at <= this.lastStep && at > this.lastStep - STEPS && at >= 0) picked[index] = this.values[at % STEPS];
    }
    return picked;
  }
}

/** Give the middle value of those that are numbers; NaN when there are fewer than `atLeast`. */
export function median(values, atLeast = 1) {
  const sorted = Float64Array.from(values).filter((value) => !Number.isNaN(value)).sort();
  if (sorted.length < Math.max(1, atLeast)) return Number.NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
