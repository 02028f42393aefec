// Loads the history of one unit for a range and keeps it growing with live readings, without a seam.

import { time, unitPath } from "./api.js";
import { ChartData } from "./chart_data.js";
import { valueOf } from "./fleet.js";
import { isLive, spanAt } from "./range.js";

const POINTS = 1_000; // with it 15 minutes have a point per second
const PAGE_READINGS = 5_000;
const PAGES_MAX = 4;

export class History {
  constructor(api, unitId) {
    this.api = api;
    this.unitId = unitId;
    this.data = null;
    this.early = [];
    this.loading = null;
  }

  /** Load a range of some measures. A later call makes an earlier one give up (it throws an `AbortError`). */
  async load(range, measures, nowMs) {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    this.early = [];
    const [startMs, endMs] = spanAt(range, nowMs);
    const series = await this.series(startMs, endMs, measures, loading.signal);
    const boundaryMs = isLive(range) ? Math.floor(endMs / series.bucketMs) * series.bucketMs : endMs;
    const data = new ChartData(series, boundaryMs, measures);
    if (isLive(range)) await this.loadSeam(data, loading.signal);
    this.data = data;
    this.loading = null;
    for (const reading of this.early) this.take(reading);
    this.early = [];
  }

  series(startMs, endMs, measures, signal) {
    const span = { start: time(startMs), end: time(endMs), points: POINTS };
    return this.api.get(unitPath(this.unitId, "series"), { ...span, measure: measures }, signal);
  }

  /** Load what was measured since the last whole bucket: everything from there on is taken reading by reading. */
  async loadSeam(data, signal) {
    let cursor = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const query = { start: time(data.boundaryMs), limit: PAGE_READINGS, cursor };
      const { readings, nextCursor } = await this.api.get(unitPath(this.unitId, "readings"), query, signal);
      for (const reading of readings) addTo(data, reading);
      if (!nextCursor) return;
      cursor = nextCursor;
    }
  }

  /** Take a live reading; while history is loading it waits for it. */
  take(reading) {
    if (this.loading) this.early.push(reading);
    else if (this.data) addTo(this.data, reading);
  }
}

function addTo(data, reading) {
  data.add(reading.id, Date.parse(reading.recordedAt), data.measures.map((measure) => valueOf(reading, measure)));
}
