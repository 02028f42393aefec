// Shows thousands of units with the elements of a screenful: only what is near the visible part of the page exists.

import { laidOut, within } from "./arrange.js";
import { Card } from "./card.js";
import { el, setText } from "./dom.js";
import { count } from "./format.js";

const OVERSCAN_PX = 300;
const TILE = { least: 15.5, height: 7.1, gap: 0.6 }; // in rem
const ROW = { height: 2.9, gap: 0 };
const HEAD_REM = 3;

export class UnitList {
  constructor({ onShown, palette }) {
    this.el = el("div", { class: "list" });
    this.onShown = onShown;
    this.palette = palette;
    this.kind = "tile";
    this.groups = [];
    this.items = [];
    this.shown = new Map();
    this.canvases = new ResizeObserver((entries) => this.resizedCanvases(entries));
    this.widths = new ResizeObserver(() => this.arrange(this.groups, this.kind));
    this.onScroll = () => this.place();
  }

  mount() {
    this.widths.observe(this.el);
    addEventListener("scroll", this.onScroll, { passive: true });
    addEventListener("resize", this.onScroll, { passive: true });
  }

  unmount() {
    this.widths.disconnect();
    this.canvases.disconnect();
    removeEventListener("scroll", this.onScroll);
    removeEventListener("resize", this.onScroll);
  }

  /** Lay groups out anew, as `tile`s or `row`s. */
  arrange(groups, kind) {
    if (kind !== this.kind) this.clear();
    this.kind = kind;
    this.groups = groups;
    const { items, height } = laidOut(groups, this.geometry());
    this.items = items;
    this.el.style.height = `${height}px`;
    this.place();
  }

  geometry() {
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const left = Number.parseFloat(getComputedStyle(this.el).getPropertyValue("margin-left")) * -1 || 0;
    const width = this.el.clientWidth - 2 * left;
    const shape = this.kind === "tile" ? TILE : ROW;
    const gap = shape.gap * rem;
    const columns = shape.least ? Math.max(1, Math.floor((width + gap) / (shape.least * rem + gap))) : 1;
    const unitWidth = (width - gap * (columns - 1)) / columns;
    const unitHeight = shape.height * rem;
    this.el.style.setProperty("--unit-width", `${unitWidth}px`);
    this.el.style.setProperty("--unit-height", `${unitHeight}px`);
    return { columns, unitWidth, unitHeight, gap, headHeight: HEAD_REM * rem, left };
  }

  clear() {
    for (const part of this.shown.values()) part.remove();
    this.shown.clear();
  }

  /** Make what came near exist, in reading order, and drop what went away. */
  place() {
    const top = -this.el.getBoundingClientRect().top;
    const near = within(this.items, top - OVERSCAN_PX, top + innerHeight + OVERSCAN_PX);
    const wanted = new Set(near.map((item) => item.key));
    const focused = document.activeElement;
    for (const [key, part] of this.shown) {
      if (!wanted.has(key) && part.el !== focused) {
        part.remove();
        this.shown.delete(key);
      }
    }
    const fresh = near.filter((item) => !this.shown.has(item.key));
    for (const item of fresh) this.shown.set(item.key, this.made(item));
    near.forEach((item, index) => this.put(item, index));
    if (focused && this.el.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
    const units = near.filter((item) => item.unit).map((item) => item.unit);
    if (fresh.length) this.onShown(units);
  }

  made(item) {
    if (item.unit) return new Card(item.unit, this.kind, { withSite: item.mixed, observer: this.canvases });
    const title = el("h2", { text: item.group.title });
    const summary = el("span");
    const made = el("div", { class: "line group" }, title, summary);
    return { el: made, remove: () => made.remove(), summary };
  }

  put(item, index) {
    const part = this.shown.get(item.key);
    part.el.style.transform = `translate(${item.x}px, ${item.y}px)`;
    if (this.el.children[index] !== part.el) this.el.insertBefore(part.el, this.el.children[index] ?? null);
    if (item.group) setText(part.summary, summaryOf(item.group.units));
  }

  resizedCanvases(entries) {
    for (const { target, contentRect } of entries) {
      target.card.resized(contentRect.width, contentRect.height);
      target.card.drawTrace(this.nowMs ?? Date.now(), this.palette());
    }
  }

  /** Bring what is on screen up to date; curves only of units in `dirty`, or all of them when it is null. */
  paint(dirty, nowMs) {
    this.nowMs = nowMs;
    const palette = this.palette();
    for (const part of this.shown.values()) {
      if (!(part instanceof Card)) continue;
      part.update(nowMs);
      if (dirty === null || dirty.has(part.unit)) part.drawTrace(nowMs, palette);
    }
  }
}

function summaryOf(units) {
  const troubled = units.filter((unit) => unit.health.state !== "ok" && unit.health.state !== "late").length;
  return troubled && troubled < units.length ? `${count(units.length, "unit")}, ${troubled} need attention` : count(units.length, "unit");
}
