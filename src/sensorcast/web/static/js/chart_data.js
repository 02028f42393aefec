// History and live readings of one unit joined into columns for charts. Pure.
//
// The invariant of the seam: up to a boundary every bucket comes from the server, from it on every bucket is built here
// from single readings, each taken once. So nothing is missing there and nothing is counted twice.

const GAP_INTERVALS = 3.2; // a device that misses two readings in a row has a gap
const GAP_BUCKETS = 2.5;
const IDS_MAX = 20_000;

/** The buckets of a unit: `times` in ms, and per measure the lowest, highest and mean value. */
export class ChartData {
  constructor(series, boundaryMs, measures) {
    this.bucketMs = series.bucketMs;
    this.boundaryMs = boundaryMs;
    this.measures = measures;
    this.buckets = new Map();
    this.ids = new Set();
    this.lateBefore = false;
    series.times.forEach((timeMs, position) => this.put(series, timeMs, position));
  }

  put(series, timeMs, position) {
    if (timeMs >= this.boundaryMs) return;
    const spreads = this.measures.map((measure) => {
      const column = series.measures[measure];
      if (!column || column.mean[position] === null) return null;
      return { low: column.low[position], high: column.high[position], sum: column.mean[position], count: 1 };
    });
    this.buckets.set(Math.floor(timeMs / this.bucketMs), { timeSum: timeMs, count: 1, spreads });
  }

  /** Take a single reading; give whether it changed anything. What lies before the boundary is the server's to tell. */
  add(id, timeMs, values) {
    if (timeMs < this.boundaryMs) {
      this.lateBefore = true;
      return false;
    }
    if (this.ids.has(id)) return false;
    this.ids.add(id);
    if (this.ids.size > IDS_MAX) this.ids.delete(this.ids.values().next().value);
    const key = Math.floor(timeMs / this.bucketMs);
    const bucket = this.buckets.get(key) ?? { timeSum: 0, count: 0, spreads: this.measures.map(() => null) };
    bucket.timeSum += timeMs;
    bucket.count += 1;
    values.forEach((value, index) => {
      if (value !== null) bucket.spreads[index] = joined(bucket.spreads[index], value);
    });
    this.buckets.set(key, bucket);
    return true;
  }

  /** Give `{times, columns: [{mean, low, high}], banded}` of a span, gaps marked by a moment without values. */
  columns(startMs, endMs) {
    const points = [...this.buckets.values()]
      .map((bucket) => ({ timeMs: bucket.timeSum / bucket.count, spreads: bucket.spreads }))
      .filter(({ timeMs }) => timeMs >= startMs && timeMs <= endMs)
      .sort((a, b) => a.timeMs - b.timeMs);
    return toColumns(withGaps(points, this.bucketMs), this.measures.length);
  }
}

function joined(spread, value) {
  if (!spread) return { low: value, high: value, sum: value, count: 1 };
  return { low: Math.min(spread.low, value), high: Math.max(spread.high, value), sum: spread.sum + value, count: spread.count + 1 };
}

function withGaps(points, bucketMs) {
  const steps = points.slice(1).map((point, index) => point.timeMs - points[index].timeMs).sort((a, b) => a - b);
  const usual = steps.length ? steps[steps.length >> 1] : bucketMs;
  const longest = Math.max(usual * GAP_INTERVALS, bucketMs * GAP_BUCKETS);
  return points.flatMap((point, index) => {
    const before = points[index - 1];
    const gap = before && point.timeMs - before.timeMs > longest;
    return gap ? [{ timeMs: before.timeMs + longest / 2, spreads: null }, point] : [point];
  });
}

function toColumns(points, howMany) {
  const columns = Array.from({ length: howMany }, () => ({ mean: [], low: [], high: [], banded: false }));
  for (const { spreads } of points) {
    columns.forEach((column, index) => {
      const spread = spreads?.[index] ?? null;
      column.mean.push(spread && spread.sum / spread.count);
      column.low.push(spread && spread.low);
      column.high.push(spread && spread.high);
      if (spread && spread.high > spread.low) column.banded = true;
    });
  }
  return { times: points.map(({ timeMs }) => timeMs), columns };
}
