// The fleet as the browser knows it: every unit with its newest reading and what it measured lately. Pure.
//
// The invariant: a unit's newest reading is never moved back by late data, and what is kept per unit is bounded.

import { METRIC_PREFIX } from "./format.js";
import { healthOf, isLate } from "./health.js";
import { Recent, STEPS, STEP_MS } from "./recent.js";
import { deviationOf } from "./usual.js";

const FIRST_INTERVAL_MS = 60_000; // believed until two readings of a unit were seen
const LONGEST_INTERVAL_MS = 3_600_000;
const SITE_SEPARATOR = /^([^.:]+)[.:](.+)$/;
const UNREGISTERED = { name: "", siteId: null, area: "" };

/** Give the measure a unit is mainly about: its temperature, else its humidity, else its first metric. */
export function primaryOf(reading) {
  if (reading.temperature !== null) return "temperature";
  if (reading.humidity !== null) return "humidity";
  const [name] = Object.keys(reading.metrics ?? {}).sort();
  if (name !== undefined) return METRIC_PREFIX + name;
  return reading.battery !== null ? "battery" : "signalStrength";
}

/** Give the value of a measure in a reading, null when it has none. */
export function valueOf(reading, measure) {
  if (!measure.startsWith(METRIC_PREFIX)) return reading[measure] ?? null;
  const name = measure.slice(METRIC_PREFIX.length);
  return reading.metrics && Object.hasOwn(reading.metrics, name) ? reading.metrics[name] : null;
}

/** Give every measure a reading has a value of, the main one first. */
export function measuresOf(reading) {
  const metrics = Object.keys(reading.metrics ?? {}).sort().map((name) => METRIC_PREFIX + name);
  const all = ["temperature", "humidity", ...metrics, "battery", "signalStrength"];
  return all.filter((measure) => valueOf(reading, measure) !== null);
}

/** Give the site and the name there of a unit; without a site of its own, an id like `harbour.fridge-01` tells both. */
export function placeOf(unitId, siteId = null) {
  const found = SITE_SEPARATOR.exec(unitId);
  if (found && (siteId === null || siteId === found[1])) return { site: found[1], name: found[2] };
  return { site: siteId ?? "", name: unitId };
}

class Unit {
  constructor(id, reading) {
    this.id = id;
    this.measuredAt = null; // the site of the newest reading that came with one or with none; a batch does not say
    this.placedAtMs = Number.NEGATIVE_INFINITY;
    this.place(reading);
    this.latest = reading;
    this.recordedAtMs = Date.parse(reading.recordedAt);
    this.primary = primaryOf(reading);
    this.intervalMs = FIRST_INTERVAL_MS;
    this.lateAtMs = Number.NEGATIVE_INFINITY;
    this.lateByMs = 0;
    this.recent = new Recent();
    this.usual = null;
    this.deviation = 0;
    this.loaded = false;
    this.health = { state: "ok", reasons: [] };
  }

  /** Learn from a reading where it was measured, unless a newer one has said so. */
  place({ siteId, recordedAt }) {
    const recordedAtMs = Date.parse(recordedAt);
    if (siteId === undefined || recordedAtMs < this.placedAtMs) return;
    this.measuredAt = siteId;
    this.placedAtMs = recordedAtMs;
  }

  /** Call the unit as it is registered, and take it to be where its readings say, as sites are followed; else where it
   * is registered, else where its id says. */
  describe({ name, siteId, area }, siteNames) {
    const place = placeOf(this.id, this.measuredAt ?? siteId);
    this.site = place.site;
    this.siteName = siteNames.get(place.site) || place.site;
    this.name = name || place.name;
    this.isNamed = name !== "";
    this.area = area;
    this.sortKey = this.name.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(8, "0")); // 2 before 10
  }

  take(reading) {
    const recordedAtMs = Date.parse(reading.recordedAt);
    const value = valueOf(reading, this.primary);
    if (value !== null) this.recent.add(recordedAtMs, value);
    if (recordedAtMs < this.recordedAtMs) return recordedAtMs;
    const gapMs = recordedAtMs - this.recordedAtMs;
    // Follows a faster device at once and a slower one gradually, so that one gap does not count as the new normal.
    if (gapMs > 0) this.intervalMs = Math.min(LONGEST_INTERVAL_MS, gapMs, gapMs < this.intervalMs ? gapMs : this.intervalMs * 1.5);
    this.latest = reading;
    this.recordedAtMs = recordedAtMs;
    return recordedAtMs;
  }

  get value() {
    return valueOf(this.latest, this.primary);
  }

  judge() {
    this.deviation = deviationOf(this.recent.upTo(this.recent.lastStep, STEPS), this.usual);
  }
}

export class Fleet {
  constructor() {
    this.units = new Map();
    this.newestMs = Number.NEGATIVE_INFINITY;
    this.moves = 0; // how often units turned out to have another name or site
    this.registered = new Map();
    this.siteNames = new Map();
    this.awaited = new Set(); // registered units that have not measured yet
  }

  /** Take all units and sites that are registered. */
  takeRegistry(units, sites) {
    this.registered = new Map(units.map((unit) => [unit.unitId, unit]));
    this.siteNames = new Map(sites.map((site) => [site.siteId, site.name]));
    this.awaited = new Set(units.filter((unit) => unit.latest === null && !this.units.has(unit.unitId)).map((unit) => unit.unitId));
    for (const unit of this.units.values()) {
      const newest = this.registered.get(unit.id)?.latest;
      if (newest) unit.place(newest);
      this.describe(unit);
    }
    this.moves += 1;
  }

  describe(unit) {
    unit.describe(this.registered.get(unit.id) ?? UNREGISTERED, this.siteNames);
  }

  /** Take a batch that arrived now; give the unit it belongs to. */
  takeBatch(unitId, readings, nowMs) {
    const unit = this.units.get(unitId) ?? this.add(unitId, readings[0]);
    const stepBefore = unit.recent.lastStep;
    for (const reading of readings) {
      const recordedAtMs = unit.take(reading);
      if (isLate(reading, recordedAtMs, nowMs)) {
        unit.lateByMs = nowMs - unit.lateAtMs > STEP_MS ? nowMs - recordedAtMs : Math.max(unit.lateByMs, nowMs - recordedAtMs);
        unit.lateAtMs = nowMs;
      }
    }
    if (unit.recent.lastStep !== stepBefore) unit.judge();
    this.newestMs = Math.max(this.newestMs, Math.min(unit.recordedAtMs, nowMs));
    return unit;
  }

  /** Take a snapshot of newest readings: after a connect, and after a reconnect to catch up. Nothing in it is late. */
  takeLatest(readings, nowMs) {
    for (const reading of readings) {
      const unit = this.units.get(reading.unitId) ?? this.add(reading.unitId, reading);
      unit.take(reading);
      const before = unit.measuredAt;
      unit.place(reading);
      if (unit.measuredAt !== before) {
        this.describe(unit);
        this.moves += 1;
      }
      this.newestMs = Math.max(this.newestMs, Math.min(unit.recordedAtMs, nowMs));
    }
  }

  add(unitId, reading) {
    const unit = new Unit(unitId, reading);
    this.describe(unit);
    this.awaited.delete(unitId);
    this.units.set(unitId, unit);
    return unit;
  }

  /** Judge every unit at a moment; give how many are in each state. */
  check(nowMs) {
    const counts = { offline: 0, warning: 0, stale: 0, late: 0, ok: 0 };
    for (const unit of this.units.values()) {
      unit.health = healthOf(unit, nowMs);
      counts[unit.health.state] += 1;
    }
    return counts;
  }
}
