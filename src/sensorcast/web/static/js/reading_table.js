// The last readings of a unit, newest first, growing as they come.

import { el } from "./dom.js";
import { clock, dayAndClock, measureOf, number } from "./format.js";
import { measuresOf, valueOf } from "./fleet.js";
import { isLate } from "./health.js";

const ROWS = 50;
const DAY_MS = 86_400_000;

export class ReadingTable {
  constructor() {
    this.rows = [];
    this.changed = false;
    this.head = el("tr");
    this.body = el("tbody");
    this.el = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Last readings" },
      el("table", { class: "data" }, el("thead", {}, this.head), this.body));
  }

  fill(readings) {
    this.rows = readings.map((reading) => ({ reading, late: false }));
    this.changed = true;
    this.paint();
  }

  add(readings) {
    const known = new Set(this.rows.map(({ reading }) => reading.id));
    const nowMs = Date.now();
    const fresh = readings.filter((reading) => !known.has(reading.id));
    if (!fresh.length) return;
    const marked = fresh.map((reading) => ({ reading, late: reading.late === true || isLate(reading, Date.parse(reading.recordedAt), nowMs) }));
    this.rows = [...this.rows, ...marked].sort((a, b) => (a.reading.recordedAt < b.reading.recordedAt ? 1 : -1)).slice(0, ROWS);
    this.changed = true;
  }

  paint() {
    if (!this.changed) return;
    this.changed = false;
    const measures = [...new Set(this.rows.flatMap(({ reading }) => measuresOf(reading)))];
    this.head.replaceChildren(...["Measured", ...measures.map(headOf)].map((text) => el("th", { scope: "col", text })));
    this.body.replaceChildren(...this.rows.map((row) => this.rowOf(row, measures)));
  }

  rowOf({ reading, late }, measures) {
    const ms = Date.parse(reading.recordedAt);
    const when = (Date.now() - ms < DAY_MS ? clock : dayAndClock)(ms);
    return el("tr", {},
      el("th", { scope: "row", class: late ? "late" : null, text: late ? `${when} late` : when, title: reading.recordedAt }),
      ...measures.map((measure) => el("td", { text: number(valueOf(reading, measure), measureOf(measure).digits) })));
  }
}

function headOf(measure) {
  const { label, unit } = measureOf(measure);
  return unit ? `${label} ${unit}` : label;
}
