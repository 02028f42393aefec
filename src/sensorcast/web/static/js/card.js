// One unit in the fleet, as a tile or as a row: the same parts, placed by the style sheet.

import { el, icon, setIcon, setText } from "./dom.js";
import { age, measureOf, number } from "./format.js";
import { LOW_BATTERY, STATE_LABELS, WEAK_SIGNAL } from "./health.js";
import { SHOWN_STEPS, STEP_MS } from "./recent.js";
import { draw, runsOf } from "./sparkline.js";

const FRESH_MS = 10_000;
const DRAWN_GAP_INTERVALS = 3;
const TRACE_COLOURS = { warning: "warning", offline: "offline", stale: "stale" };

function fact(iconName, label) {
  const text = el("b");
  return { text, node: el("span", { title: label }, icon(iconName), text) };
}

export class Card {
  /** `withSite` names the site, too: where units of several sites stand together. */
  constructor(unit, kind, { withSite, observer }) {
    this.unit = unit;
    this.state = icon("ok");
    this.state.setAttribute("class", "icon state-icon");
    this.state.setAttribute("role", "img");
    this.state.removeAttribute("aria-hidden");
    this.site = el("span", { class: "site" });
    this.label = el("span");
    this.name = el("span", { class: "name", title: unit.id }, this.label);
    this.id = el("span", { class: "id", text: unit.id });
    this.names = el("span", { class: "names" }, this.name, this.id);
    this.age = el("span", { class: "age" });
    this.figure = el("span");
    this.value = el("span", { class: "value" }, this.figure, el("small", { text: measureOf(unit.primary).unit }));
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.canvas.card = this;
    this.withSite = withSite;
    this.humidity = fact("humidity", "Humidity");
    this.battery = fact("battery", "Battery");
    this.signal = fact("signal", "Signal");
    this.facts = el("span", { class: "facts" }, this.humidity.node, this.battery.node, this.signal.node);
    this.reason = el("span", { class: "reason" });
    this.el = el("a", { class: `unit line card ${kind}`, href: `#/unit/${encodeURIComponent(unit.id)}` });
    this.el.append(...this[`${kind}Parts`]());
    this.observer = observer;
    observer.observe(this.canvas);
  }

  tileParts() {
    this.foot = el("span", { class: "foot" }, this.facts, this.reason, this.site);
    return [
      el("span", { class: "head" }, this.state, this.names, this.age),
      this.value,
      el("span", { class: "spark" }, this.canvas),
      this.foot,
    ];
  }

  rowParts() {
    this.name.append(this.site);
    return [this.state, this.names, this.value, el("span", { class: "spark" }, this.canvas), this.reason, this.facts, this.age];
  }

  remove() {
    this.observer.unobserve(this.canvas);
    this.el.remove();
  }

  /** Bring every text up to date; costs nothing for what did not change. */
  update(nowMs) {
    const { unit } = this;
    const { state, reasons } = unit.health;
    if (this.el.dataset.state !== state) {
      this.el.dataset.state = state;
      setIcon(this.state, state);
      this.state.setAttribute("aria-label", STATE_LABELS[state]);
    }
    setText(this.label, unit.name);
    setText(this.site, unit.siteName);
    this.site.hidden = !this.withSite || unit.site === "";
    this.id.hidden = !unit.isNamed;
    setText(this.figure, number(unit.value, measureOf(unit.primary).digits));
    setText(this.age, ageText(nowMs - unit.recordedAtMs));
    setText(this.reason, reasons.join(", "));
    if (this.foot) this.facts.hidden = reasons.length > 0;
    this.updateFacts(unit.latest);
  }

  updateFacts({ humidity, battery, signalStrength }) {
    const shown = (part, value, text, low) => {
      part.node.classList.toggle("absent", value === null);
      setText(part.text, text);
      part.node.classList.toggle("low", low);
    };
    shown(this.humidity, this.unit.primary === "humidity" ? null : humidity, `${number(humidity, 0)}\u202f%`, false);
    shown(this.battery, battery, `${number(battery, 0)}\u202f%`, battery !== null && battery <= LOW_BATTERY);
    shown(this.signal, signalStrength, number(signalStrength, 0), signalStrength !== null && signalStrength <= WEAK_SIGNAL);
  }

  /** Remember the size of the drawing area, in pixels of the page. */
  resized(width, height) {
    const ratio = globalThis.devicePixelRatio || 1;
    this.size = { width, height, ratio };
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
  }

  drawTrace(nowMs, palette) {
    if (!this.size) return;
    const { unit, size } = this;
    const values = unit.recent.upTo(Math.floor(nowMs / STEP_MS), SHOWN_STEPS);
    const longestGap = Math.max(2, Math.ceil((DRAWN_GAP_INTERVALS * unit.intervalMs) / STEP_MS));
    const colour = palette[TRACE_COLOURS[unit.health.state] ?? "trace"];
    draw(this.canvas, runsOf(values, longestGap, size.width, size.height), colour, size.ratio);
  }
}

function ageText(ms) {
  if (ms < FRESH_MS) return "";
  return age(ms < 60_000 ? Math.floor(ms / FRESH_MS) * FRESH_MS : ms);
}
