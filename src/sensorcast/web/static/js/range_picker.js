// The controls of a chart's range: presets, a span of one's own, earlier and later, closer and wider, export.

import { el, icon, setText } from "./dom.js";
import { dayAndClock, clock } from "./format.js";
import { isLive, moved, RANGES, scaled } from "./range.js";

const DAY_MS = 86_400_000;

/** Write a time as a `datetime-local` field wants it. */
function fieldText(ms) {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

export class RangePicker {
  constructor({ range, onRange, onExport }) {
    this.range = range;
    this.onRange = onRange;
    this.presets = Object.entries(RANGES).map(([name, { label, spanMs }]) =>
      el("button", { type: "button", "data-range": name, text: label, on: { click: () => onRange({ name, spanMs }) } }));
    this.own = el("button", { type: "button", text: "Custom", "aria-expanded": "false", on: { click: () => this.openForm() } });
    this.span = el("span", { class: "span" });
    const tool = (label, content, action) => el("button", { type: "button", "aria-label": label, title: label, on: { click: action } }, content);
    this.exporting = el("button", { type: "button", class: "end", text: "Export CSV", on: { click: () => this.export(onExport) } });
    this.form = this.buildForm();
    this.el = el("div", {}, el("div", { class: "ranges" },
      el("div", { class: "segments", role: "group", "aria-label": "Time span" }, ...this.presets, this.own),
      el("div", { class: "segments", role: "group", "aria-label": "Move and zoom" },
        tool("Earlier", icon("back"), () => onRange(moved(this.range, -0.5, Date.now()))),
        tool("Later", icon("forward"), () => onRange(moved(this.range, 0.5, Date.now()))),
        tool("Zoom in", "+", () => onRange(scaled(this.range, 0.5, Date.now()))),
        tool("Zoom out", "−", () => onRange(scaled(this.range, 2, Date.now())))),
      this.span, this.exporting), this.form);
    this.show(range);
  }

  buildForm() {
    const field = (name) => el("input", { type: "datetime-local", name, required: true });
    this.from = field("from");
    this.to = field("to");
    return el("form", { class: "custom card", hidden: true, on: { submit: (event) => this.submitted(event) } },
      el("label", {}, "From", this.from), el("label", {}, "To", this.to), el("button", { class: "primary", text: "Show" }));
  }

  openForm() {
    this.form.hidden = !this.form.hidden;
    this.own.setAttribute("aria-expanded", String(!this.form.hidden));
    if (this.form.hidden) return;
    const [startMs, endMs] = this.shownSpan;
    this.from.value = fieldText(startMs);
    this.to.value = fieldText(endMs);
    this.from.focus();
  }

  submitted(event) {
    event.preventDefault();
    const [startMs, endMs] = [Date.parse(this.from.value), Date.parse(this.to.value)];
    this.to.setCustomValidity(endMs > startMs ? "" : "The end must be after the start.");
    if (this.to.reportValidity()) this.onRange({ name: null, startMs, endMs });
  }

  zoomed(startMs, endMs) {
    this.onRange({ name: null, startMs, endMs });
  }

  show(range) {
    this.range = range;
    for (const button of this.presets) button.setAttribute("aria-pressed", String(button.dataset.range === range.name));
    this.own.setAttribute("aria-pressed", String(!isLive(range)));
  }

  showSpan([startMs, endMs]) {
    this.shownSpan = [startMs, endMs];
    const write = endMs - startMs < DAY_MS && Date.now() - startMs < DAY_MS ? clock : dayAndClock;
    setText(this.span, isLive(this.range) ? "Live" : `${write(startMs)} to ${write(endMs)}`);
  }

  async export(onExport) {
    this.exporting.disabled = true;
    try {
      await onExport();
    } finally {
      this.exporting.disabled = false;
    }
  }
}
