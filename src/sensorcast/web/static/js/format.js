// How values are written for people. Pure. Numbers carry their unit, and a true minus sign.

const KNOWN = {
  temperature: { label: "Temperature", unit: "°C", digits: 1 },
  humidity: { label: "Humidity", unit: "%", digits: 0 },
  battery: { label: "Battery", unit: "%", digits: 0 },
  signalStrength: { label: "Signal", unit: "dBm", digits: 0 },
};
// Endings of metric names that say the unit; the rest of the name is the label.
const UNITS = {
  W: "W", KW: "kW", Kwh: "kWh", V: "V", Mv: "mV", A: "A", Ma: "mA", Hz: "Hz", Rpm: "rpm", Pct: "%", Percent: "%",
  Ppm: "ppm", Ppb: "ppb", Hpa: "hPa", Pa: "Pa", Bar: "bar", Lux: "lx", Db: "dB", Mm: "mm", M: "m", S: "s", Ms: "ms", C: "°C",
};
export const METRIC_PREFIX = "metrics.";

/** Describe a measure: what it is called, its unit, how many digits to show. */
export function measureOf(measure) {
  if (Object.hasOwn(KNOWN, measure)) return KNOWN[measure];
  const name = measure.startsWith(METRIC_PREFIX) ? measure.slice(METRIC_PREFIX.length) : measure;
  const words = name.replaceAll("_", " ").replace(/([a-z0-9])([A-Z])/g, "$1 $2").trim().split(/\s+/);
  const last = words.at(-1);
  const ending = last.charAt(0).toUpperCase() + last.slice(1);
  const unit = words.length > 1 && Object.hasOwn(UNITS, ending) ? UNITS[ending] : "";
  const label = (unit ? words.slice(0, -1) : words).join(" ").toLowerCase();
  return { label: label.charAt(0).toUpperCase() + label.slice(1) || name, unit, digits: unit ? 1 : null };
}

/** Write a number with so many digits after the point, as many as it needs for null; a dash when there is none. */
export function number(value, digits) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = Math.abs(value) >= 1e15 ? value.toExponential(3) : digits === null ? String(Number(value.toFixed(3))) : value.toFixed(digits);
  return /^-[0.]*$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

/** Write a value with its unit; `about` is what `measureOf` gives. */
export function quantity(value, { unit, digits }) {
  const text = number(value, digits);
  return text === "–" || unit === "" ? text : `${text}\u202f${unit}`;
}

/** Write how long ago something was, as short as it can be understood. */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds}\u202fs`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}\u202fmin`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}\u202fh`;
  return `${Math.floor(seconds / 86_400)}\u202fd`;
}

/** Count things: `count(1, "unit")` is "1 unit", `count(2, "unit")` is "2 units". */
export function count(howMany, what) {
  return `${howMany.toLocaleString("en")} ${what}${howMany === 1 ? "" : "s"}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

export const clock = (ms) => CLOCK.format(ms);
export const dayAndClock = (ms) => DAY_AND_CLOCK.format(ms);

/** Write a moment: the time alone when it is today, else with its day. */
export function moment(ms, nowMs) {
  return DAY.format(ms) === DAY.format(nowMs) ? clock(ms) : `${DAY.format(ms)} ${clock(ms)}`;
}
