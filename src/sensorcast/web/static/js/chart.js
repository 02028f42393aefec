// One chart of one measure: mean as a line, lowest to highest as a band, gaps as gaps. A thin layer over uPlot.

import uPlot from "../vendor/uPlot.esm.js";
import { el, setText } from "./dom.js";
import { clock, dayAndClock, measureOf, quantity } from "./format.js";

const TALL_PX = 260;
const LOW_PX = 150;
const POINTS_SHOWN_BELOW = 40; // fewer points than this are shown as dots, or a lone one would not be seen
const LEAST_SPAN = { temperature: 2, humidity: 5, battery: 10, signalStrength: 10 };
const DAY_S = 86_400;
const TIME_TICKS = [
  [DAY_S * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [DAY_S, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", null, null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", null, null, "\n{D} {MMM}", null, null, null, 1],
];

/** Give the value axis: all values, a margin, and never less than a span that means something. Pure. */
export function valueRange(low, high, measure) {
  if (low === null || high === null) return [0, 1];
  const least = Object.hasOwn(LEAST_SPAN, measure) ? LEAST_SPAN[measure] : Math.max(1, Math.abs(high) * 0.05);
  const span = Math.max(least, (high - low) * 1.12);
  const middle = (low + high) / 2;
  return [middle - span / 2, middle + span / 2];
}

export class Chart {
  /** `onZoom(startMs, endMs)` is called when a span was drawn with the pointer. */
  constructor({ measure, about = measureOf(measure), tall = false, palette, syncKey, onZoom }) {
    const { label, unit } = about;
    this.measure = measure;
    this.about = about;
    this.height = tall ? TALL_PX : LOW_PX;
    this.readout = el("span", { class: "readout" });
    this.empty = el("p", { class: "empty", text: "No readings in this time", hidden: true });
    this.plotBox = el("div", { class: "plot" }, this.empty);
    this.el = el("section", { class: "chart card", "aria-label": `Chart of ${label}` },
      el("header", {}, el("h2", { text: unit ? `${label} (${unit})` : label }), this.readout), this.plotBox);
    this.spanMs = [0, 1];
    this.bounds = [null, null];
    this.plot = new uPlot(this.options(palette, syncKey, onZoom), [[], [], [], []], this.plotBox);
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.plotBox);
  }

  options(palette, syncKey, onZoom) {
    const axis = { stroke: palette.quiet, grid: { stroke: palette.grid, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const hidden = { stroke: "transparent", width: 0, points: { show: false } };
    return {
      width: 600,
      height: this.height,
      padding: [8, 28, 0, 0], // half of a time, whose last one may stand at the very end
      legend: { show: false },
      cursor: { sync: { key: syncKey }, y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      scales: {
        x: { time: true, range: () => [this.spanMs[0] / 1_000, this.spanMs[1] / 1_000] },
        y: { range: () => valueRange(...this.bounds, this.measure) },
      },
      axes: [
        { ...axis, space: 70, size: 40, values: TIME_TICKS },
        { ...axis, size: 54, values: (_, ticks) => ticks.map((tick) => String(tick).replace("-", "−")) },
      ],
      series: [
        {},
        { stroke: palette.trace, width: 1.6, points: { show: (plot) => plot.data[0].length < POINTS_SHOWN_BELOW, size: 5, fill: palette.trace } },
        hidden,
        hidden,
      ],
      bands: [{ series: [3, 2], fill: palette["trace-band"] }],
      hooks: {
        setCursor: [(plot) => this.showReadout(plot.cursor.idx)],
        setSelect: [(plot) => this.selected(plot, onZoom)],
      },
    };
  }

  selected(plot, onZoom) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [start, end] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    onZoom(start * 1_000, end * 1_000);
  }

  resize() {
    const { clientWidth } = this.plotBox;
    if (clientWidth && clientWidth !== this.plot.width) this.plot.setSize({ width: clientWidth, height: this.height });
  }

  /** Show columns of `ChartData` in a span. */
  show({ times, column, startMs, endMs }) {
    this.spanMs = [startMs, endMs];
    this.column = column;
    this.bounds = boundsOf(column);
    const [low, high] = column.banded ? [column.low, column.high] : [column.mean, column.mean];
    this.plot.setData([times.map((ms) => ms / 1_000), column.mean, low, high]);
    this.empty.hidden = this.bounds[0] !== null;
    this.el.dataset.points = column.mean.filter((value) => value !== null).length;
    this.showReadout(this.plot.cursor.idx);
  }

  showReadout(index) {
    const { mean, low, high, banded } = this.column ?? {};
    if (index === null || index === undefined || mean?.[index] === null || mean?.[index] === undefined) {
      setText(this.readout, this.column ? spreadText(this.bounds, this.about) : "");
      return;
    }
    const timeMs = this.plot.data[0][index] * 1_000;
    const when = this.spanMs[1] - this.spanMs[0] > DAY_S * 1_000 ? dayAndClock(timeMs) : clock(timeMs);
    const spread = banded && high[index] > low[index] ? ` (${quantity(low[index], this.about)} to ${quantity(high[index], this.about)})` : "";
    setText(this.readout, `${when}  ${quantity(mean[index], this.about)}${spread}`);
  }

  remove() {
    this.resizing.disconnect();
    this.plot.destroy();
    this.el.remove();
  }
}

function spreadText([low, high], about) {
  return low === null ? "" : `${quantity(low, about)} to ${quantity(high, about)}`;
}

function boundsOf({ low, high }) {
  let [least, most] = [null, null];
  for (const value of low) if (value !== null && (least === null || value < least)) least = value;
  for (const value of high) if (value !== null && (most === null || value > most)) most = value;
  return [least, most];
}
