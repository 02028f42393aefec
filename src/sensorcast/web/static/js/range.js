// The span of time a unit's charts show: the last so many minutes, live, or from one moment to another. Pure.

const MINUTE_MS = 60_000;
export const RANGES = {
  "15m": { label: "15 min", spanMs: 15 * MINUTE_MS },
  "1h": { label: "1 h", spanMs: 60 * MINUTE_MS },
  "24h": { label: "24 h", spanMs: 24 * 60 * MINUTE_MS },
  "7d": { label: "7 d", spanMs: 7 * 24 * 60 * MINUTE_MS },
};
const DEFAULT = "1h";
const SHORTEST_MS = 5_000;

/** Read the range of a hash query: `range=24h`, or `from` and `to` in ms. */
export function rangeOf(query) {
  const [startMs, endMs] = [Number(query.get("from")), Number(query.get("to"))];
  if (query.has("from") && Number.isFinite(startMs) && endMs > startMs) return { startMs, endMs, name: null };
  const name = Object.hasOwn(RANGES, query.get("range") ?? "") ? query.get("range") : DEFAULT;
  return { name, spanMs: RANGES[name].spanMs };
}

export const isLive = (range) => range.name !== null;

export function queryOf(range) {
  return isLive(range) ? `range=${range.name}` : `from=${Math.round(range.startMs)}&to=${Math.round(range.endMs)}`;
}

/** Give the start and end of a range at a moment. */
export function spanAt(range, nowMs) {
  return isLive(range) ? [nowMs - range.spanMs, nowMs] : [range.startMs, range.endMs];
}

/** Move a range by a share of its length; a live one becomes a fixed one. */
export function moved(range, share, nowMs) {
  const [startMs, endMs] = spanAt(range, nowMs);
  const byMs = (endMs - startMs) * share;
  const endsMs = Math.min(nowMs, endMs + byMs);
  return { name: null, startMs: endsMs - (endMs - startMs), endMs: endsMs };
}

/** Make a range longer (above 1) or shorter (below 1) around its middle, its end never in the future. */
export function scaled(range, factor, nowMs) {
  const [startMs, endMs] = spanAt(range, nowMs);
  const lengthMs = Math.max(SHORTEST_MS, (endMs - startMs) * factor);
  const endsMs = Math.min(nowMs, (startMs + endMs) / 2 + lengthMs / 2);
  return { name: null, startMs: endsMs - lengthMs, endMs: endsMs };
}
