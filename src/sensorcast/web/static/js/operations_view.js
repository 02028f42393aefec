// What operators look at: how much comes in and goes out, how fast, and who could not keep up. Asked for while shown.

import { Chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { moment, number } from "./format.js";
import { mean, parsed, rate, total } from "./prometheus.js";

const EVERY_MS = 2_000;
const KEPT = 450; // 15 minutes
const WINDOW_MS = 15 * 60_000;

const FIGURES = [
  { key: "stored", label: "Readings stored", unit: "/s", digits: 1, charted: true, of: (a, b) => rate(a, b, "sensorcast_ingest_readings_total", { outcome: "stored" }) },
  { key: "flush", label: "Flush duration", unit: "ms", digits: 2, charted: true, of: (a, b) => inMs(mean(a, b, "sensorcast_flush_seconds")), alarmAbove: 500 },
  { key: "commit", label: "Commit duration", unit: "ms", digits: 2, charted: true, of: (a, b) => inMs(mean(a, b, "sensorcast_store_commit_seconds")), alarmAbove: 500 },
  { key: "connections", label: "Connections", unit: "", digits: 0, charted: true, of: (_, b) => total(b.samples, "sensorcast_connections") },
  { key: "bytes", label: "Sent to dashboards", unit: "kB/s", digits: 1, of: (a, b) => divided(rate(a, b, "sensorcast_outbound_bytes_total"), 1_000) },
  { key: "conflated", label: "Conflated for slow clients", unit: "", digits: 0, of: (_, b) => total(b.samples, "sensorcast_batches_conflated_total") },
  { key: "cut", label: "Clients cut off", unit: "", digits: 0, of: (_, b) => total(b.samples, "sensorcast_clients_cut_total") },
  { key: "refused", label: "Handshakes refused", unit: "", digits: 0, of: (_, b) => total(b.samples, "sensorcast_handshakes_refused_total") },
  { key: "rejected", label: "Readings rejected", unit: "/s", digits: 1, of: (a, b) => rate(a, b, "sensorcast_ingest_readings_total", { outcome: "rejected" }), alarmAbove: 0 },
  { key: "queue", label: "Waiting for the store", unit: "", digits: 0, of: (_, b) => total(b.samples, "sensorcast_ingest_queue_readings") },
];

const inMs = (seconds) => divided(seconds, 0.001);
const divided = (value, by) => (value === null ? null : value / by);

export class OperationsView {
  constructor({ api, palette }) {
    this.api = api;
    this.palette = palette;
    this.title = "Operations";
    this.scrapes = [];
    this.history = new Map(FIGURES.map(({ key }) => [key, []]));
    this.build();
  }

  build() {
    this.parts = FIGURES.map((figure) => {
      const value = el("span");
      const dd = el("dd", {}, value, el("small", { text: figure.unit }));
      const node = el("div", { class: "figure card" }, el("dt", { text: figure.label }), dd);
      return { figure, value, node };
    });
    this.usage = el("dl", { class: "facts-list" });
    this.node = el("dl", { class: "facts-list" });
    this.nodes = el("dl", { class: "facts-list nodes" });
    this.charts = [];
    this.chartBox = el("div", { class: "charts" });
    this.problem = el("p", { class: "notice", hidden: true });
    this.el = el("section", { class: "operations" },
      el("h1", { text: "Operations" }), this.problem,
      el("dl", { class: "figures" }, ...this.parts.map(({ node }) => node)),
      this.chartBox,
      el("div", { class: "below" },
        el("section", { class: "panel card" }, el("h2", { text: `Usage of ${this.api.organizationId}` }), this.usage),
        el("section", { class: "panel card" }, el("h2", { text: "This node" }), this.node, el("h2", { text: "All nodes" }), this.nodes)));
  }

  mount() {
    this.themed();
    this.ask();
    this.timer = setInterval(() => this.ask(), EVERY_MS);
  }

  unmount() {
    clearInterval(this.timer);
    for (const chart of this.charts) chart.remove();
  }

  async ask() {
    if (document.hidden) return;
    try {
      const [metrics, stats, ready] = await Promise.all([this.api.metrics(), this.api.stats(), readiness()]);
      this.took({ atMs: Date.now(), samples: parsed(metrics) });
      this.showPairs(this.usage, usageOf(stats));
      this.showPairs(this.node, nodeOf(ready));
      this.showPairs(this.nodes, nodesOf(stats, Date.now()));
      this.problem.hidden = true;
    } catch (error) {
      this.problem.hidden = false;
      setText(this.problem, `The numbers cannot be loaded: ${error.message}`);
    }
  }

  took(scrape) {
    this.scrapes = [...this.scrapes, scrape].slice(-2);
    const [before, after] = this.scrapes.length === 2 ? this.scrapes : [scrape, scrape];
    for (const { figure, value, node } of this.parts) {
      const measured = figure.of(before, after);
      setText(value, number(measured, figure.digits));
      node.dataset.alarm = String(figure.alarmAbove !== undefined && measured > figure.alarmAbove);
      const points = this.history.get(figure.key);
      points.push([scrape.atMs, measured]);
      if (points.length > KEPT) points.shift();
    }
    this.paintCharts(scrape.atMs);
  }

  showPairs(list, pairs) {
    list.replaceChildren(...pairs.flatMap(([name, text]) => [el("dt", { text: name }), el("dd", { text })]));
  }

  paint() {}

  takeBatch() {}

  caughtUp() {}

  paintCharts(nowMs) {
    this.charts.forEach((chart) => {
      const points = this.history.get(chart.key);
      const values = points.map(([, value]) => value);
      chart.show({
        times: points.map(([atMs]) => atMs), column: { mean: values, low: values, high: values, banded: false },
        startMs: Math.max(nowMs - WINDOW_MS, Math.min(points[0]?.[0] ?? nowMs, nowMs - 60_000)), endMs: nowMs,
      });
    });
  }

  themed() {
    for (const chart of this.charts) chart.remove();
    this.charts = FIGURES.filter(({ charted }) => charted).map((figure) => {
      const chart = new Chart({ measure: figure.key, about: figure, palette: this.palette(), syncKey: "operations", onZoom: () => {} });
      chart.key = figure.key;
      return chart;
    });
    this.chartBox.replaceChildren(...this.charts.map((chart) => chart.el));
  }
}

async function readiness() {
  const answers = await Promise.all(["/healthz", "/readyz"].map((address) => fetch(address)));
  const [health, ready] = await Promise.all(answers.map((answer) => answer.json()));
  return { ...health, ...ready };
}

/** Who is heard in the cluster, and since when each runs: its name is a text that anybody may have chosen. */
function nodesOf({ nodes }, nowMs) {
  return nodes.map(({ name, sinceS, self }) => [self ? `${name} (this one)` : name, `since ${moment(nowMs - sinceS * 1_000, nowMs)}`]);
}

function usageOf({ usage, ...stats }) {
  const counted = (value) => value.toLocaleString("en");
  return [
    ["Readings since the start", counted(usage.readings)],
    ["Requests since the start", counted(usage.requests)],
    ["Refused above its share", counted(usage.refused)],
    ["Sent to dashboards", `${number(usage.outboundBytes / 1e6, 1)}\u202fMB`],
    ["Connections", counted(stats.connections)],
    ["Subscriptions", counted(usage.subscriptions)],
    ["Units with a newest reading", number(stats.cachedUnits, 0)],
    ["Readings in the last flush", number(stats.flush.readings, 0)],
    ["Units in the last flush", number(stats.flush.units, 0)],
    ["Duration of the last flush", `${number(stats.flush.durationMs, 2)}\u202fms`],
    ["Readings waiting for the next flush", number(stats.bufferedReadings, 0)],
  ];
}

function nodeOf({ version, ready, reasons }) {
  return [["State", ready ? "ready" : `not ready: ${reasons.join(", ")}`], ["Version", version]];
}
