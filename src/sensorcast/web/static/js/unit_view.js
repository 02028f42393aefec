// The page of one unit: its values now, its charts over a range, its last readings, and a file of all of them.

import { unitPath } from "./api.js";
import { Chart } from "./chart.js";
import { el, icon, setIcon, setText } from "./dom.js";
import { measuresOf, placeOf, valueOf } from "./fleet.js";
import { age, clock, dayAndClock, measureOf, number } from "./format.js";
import { STATE_LABELS } from "./health.js";
import { History } from "./history.js";
import { isLive, spanAt } from "./range.js";
import { RangePicker } from "./range_picker.js";
import { ReadingTable } from "./reading_table.js";

const RELOAD_AFTER_LATE_MS = 4_000; // late data usually comes in bunches; one reload takes them all
const MEASURES_MAX = 16;

export class UnitView {
  constructor({ unitId, fleet, api, palette, range, onRange }) {
    Object.assign(this, { unitId, fleet, api, palette, range });
    this.history = new History(api, unitId);
    this.charts = [];
    this.measures = [];
    this.title = (fleet.units.get(unitId) ?? placeOf(unitId)).name;
    this.picker = new RangePicker({ range, onRange, onExport: () => this.exported() });
    this.table = new ReadingTable();
    this.build();
  }

  build() {
    this.siteName = el("span", { text: "Fleet" });
    this.heading = el("h1", { text: this.title });
    this.idLine = el("p", { class: "id", text: this.unitId, hidden: true });
    this.stateIcon = icon("ok");
    this.stateText = el("b");
    this.reasons = el("span");
    this.verdict = el("p", { class: "verdict" }, this.stateIcon, this.stateText, this.reasons);
    this.now = el("dl", { class: "now" });
    this.chartBox = el("div", { class: "charts" });
    this.problem = el("p", { class: "notice", hidden: true });
    this.facts = el("dl", { class: "facts-list" });
    this.el = el("article", { class: "unit-page" },
      el("header", { class: "unit-head" },
        el("div", {}, el("a", { class: "crumb", href: "#/" }, icon("back"), this.siteName), this.heading, this.idLine, this.verdict),
        this.now),
      this.picker.el, this.problem, this.chartBox,
      el("div", { class: "below" },
        el("section", { class: "panel card" }, el("h2", { text: "Last readings" }), this.table.el),
        el("section", { class: "panel card" }, el("h2", { text: "Device" }), this.facts)));
  }

  mount() {
    return this.load();
  }

  /** Load the last readings and the history; also after a reconnect, when whatever was missed is in there. */
  async load() {
    try {
      const { readings } = await this.api.get(unitPath(this.unitId, "readings"), { limit: 50 });
      this.table.fill(readings);
      if (!this.measures.length) {
        this.measures = measuresIn(readings);
        this.makeCharts();
      }
      await this.reload();
    } catch (error) {
      this.failed(error);
    }
  }

  unmount() {
    this.history.loading?.abort();
    clearTimeout(this.lateTimer);
    for (const chart of this.charts) chart.remove();
  }

  makeCharts() {
    for (const chart of this.charts) chart.remove();
    const shared = { palette: this.palette(), syncKey: `unit ${this.unitId}`, onZoom: (startMs, endMs) => this.picker.zoomed(startMs, endMs) };
    this.charts = this.measures.map((measure, index) => new Chart({ measure, tall: index === 0, ...shared }));
    this.chartBox.replaceChildren(...this.charts.map((chart) => chart.el));
  }

  /** Show another range. */
  async setRange(range) {
    this.range = range;
    this.picker.show(range);
    await this.reload();
  }

  async reload() {
    if (!this.measures.length) return;
    this.chartBox.setAttribute("aria-busy", "true");
    try {
      await this.history.load(this.range, this.measures, this.serverNow());
      this.problem.hidden = true;
      this.paintCharts();
    } catch (error) {
      this.failed(error);
      return;
    }
    this.chartBox.removeAttribute("aria-busy");
  }

  failed(error) {
    if (error.name === "AbortError") return;
    this.problem.hidden = false;
    setText(this.problem, problemText(error));
  }

  serverNow() {
    return Date.now() + (this.offsetMs ?? 0);
  }

  caughtUp() {
    return this.load();
  }

  takeBatch(unitId, readings) {
    if (unitId !== this.unitId) return;
    for (const reading of readings) this.history.take(reading);
    this.table.add(readings);
    if (!this.measures.length || !isLive(this.range)) return;
    if (this.history.data?.lateBefore && !this.lateTimer) {
      this.lateTimer = setTimeout(() => {
        this.lateTimer = null;
        this.reload();
      }, RELOAD_AFTER_LATE_MS);
    }
  }

  paint({ nowMs, offsetMs }) {
    this.offsetMs = offsetMs;
    const unit = this.fleet.units.get(this.unitId);
    if (unit) this.paintHead(unit, nowMs);
    this.table.paint();
    if (isLive(this.range)) this.paintCharts();
    this.picker.showSpan(spanAt(this.range, this.serverNow()));
  }

  paintHead(unit, nowMs) {
    const { state, reasons } = unit.health;
    if (this.verdict.dataset.state !== state) {
      this.verdict.dataset.state = state;
      setIcon(this.stateIcon, state);
    }
    this.paintNames(unit);
    setText(this.stateText, STATE_LABELS[state]);
    setText(this.reasons, reasons.length ? reasons.join(", ") : `last reading ${age(nowMs - unit.recordedAtMs)} ago`);
    this.paintNow(unit.latest);
    this.paintFacts(unit, nowMs);
  }

  paintNames(unit) {
    this.title = unit.name;
    setText(this.heading, unit.name);
    setText(this.siteName, unit.siteName || "Fleet");
    this.idLine.hidden = !unit.isNamed;
  }

  paintNow(latest) {
    const measures = measuresOf(latest).filter((measure) => measure !== "battery" && measure !== "signalStrength").slice(0, 6);
    if (this.shownMeasures !== measures.join()) {
      this.shownMeasures = measures.join();
      this.nowParts = measures.map((measure) => {
        const figure = el("span");
        const { label, unit } = measureOf(measure);
        return { measure, figure, node: el("div", {}, el("dt", { text: label }), el("dd", {}, figure, el("small", { text: unit }))) };
      });
      this.now.replaceChildren(...this.nowParts.map((part) => part.node));
    }
    for (const { measure, figure } of this.nowParts) setText(figure, number(valueOf(latest, measure), measureOf(measure).digits));
  }

  paintFacts(unit, nowMs) {
    const { latest } = unit;
    const facts = [
      ["Unit", unit.id],
      ...(unit.area ? [["Area", unit.area]] : []),
      ["Device", latest.deviceId ?? "not named"],
      ["Battery", latest.battery === null ? "none reported" : `${latest.battery}\u202f%`],
      ["Signal", latest.signalStrength === null ? "none reported" : `${number(latest.signalStrength, 0)}\u202fdBm`],
      ["Measures every", age(unit.intervalMs)],
      ["Last reading", nowMs - unit.recordedAtMs < 86_400_000 ? clock(unit.recordedAtMs) : dayAndClock(unit.recordedAtMs)],
      ["Source", latest.source],
    ];
    const text = JSON.stringify(facts);
    if (this.shownFacts === text) return;
    this.shownFacts = text;
    this.facts.replaceChildren(...facts.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })]));
  }

  paintCharts() {
    const { data } = this.history;
    if (!data || this.history.loading) return;
    const [startMs, endMs] = spanAt(this.range, this.serverNow());
    const { times, columns } = data.columns(startMs, endMs);
    this.charts.forEach((chart, index) => chart.show({ times, column: columns[index], startMs, endMs }));
  }

  themed() {
    this.makeCharts();
    this.paintCharts();
  }

  async exported() {
    const [startMs, endMs] = spanAt(this.range, this.serverNow());
    const span = { start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() };
    const file = await this.api.file(unitPath(this.unitId, "readings.csv"), span);
    const address = URL.createObjectURL(file);
    el("a", { href: address, download: `${this.unitId.replaceAll(":", "_")}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
}

function problemText(error) {
  if (error.status === 404) return "There is no unit of this name in this organization.";
  return error.status ? `The history cannot be loaded: ${error.message}` : "The history is loaded as soon as the server can be reached.";
}

/** Give every measure that any of some readings has, in the order of the first that has most. */
function measuresIn(readings) {
  const all = new Set(readings.flatMap(measuresOf));
  const last = ["battery", "signalStrength"];
  const ordered = [...all].filter((measure) => !last.includes(measure));
  return [...ordered, ...last.filter((measure) => all.has(measure))].slice(0, MEASURES_MAX);
}
