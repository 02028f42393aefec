// The fleet page: one sentence on how things are, filters, and the list of units.

import { grouped, SORTS } from "./arrange.js";
import { el, icon, setText } from "./dom.js";
import { clock, count } from "./format.js";
import { STATE_LABELS, STATES } from "./health.js";
import { UnitList } from "./unit_list.js";

const REARRANGE_MS = 2_000; // units do not jump about more often than this
const KEY = "sensorcast.fleet";

export class FleetView {
  constructor({ fleet, loader, storage, palette }) {
    this.fleet = fleet;
    this.storage = storage;
    this.wishes = { search: "", states: null, ...kept(storage) };
    this.list = new UnitList({ palette, onShown: (units) => loader.want(units, { urgent: true }) });
    this.arrangedMs = 0;
    this.arrangedSize = "";
    this.title = "Fleet";
    this.build();
  }

  build() {
    this.heading = el("h1", { text: "Waiting for data" });
    this.subline = el("p");
    this.counts = el("div", { class: "counts", role: "group", "aria-label": "Show only units that are" });
    this.countButtons = Object.fromEntries(STATES.map((state) => [state, this.countButton(state)]));
    this.counts.append(...STATES.map((state) => this.countButtons[state].button));
    this.search = el("input", {
      type: "search", placeholder: "Search units, sites, devices", "aria-label": "Search units", value: this.wishes.search,
      on: { input: () => this.wish({ search: this.search.value.trim() }) },
    });
    this.sort = el("select", { "aria-label": "Sort", on: { change: () => this.wish({ sort: this.sort.value }) } },
      ...Object.entries(SORTS).map(([value, { label }]) => el("option", { value, text: label, selected: value === this.wishes.sort })));
    this.kinds = ["tile", "row"].map((kind) => el("button", {
      type: "button", class: "icon-button", "aria-pressed": String(kind === this.wishes.kind), "aria-label": kind === "tile" ? "Tiles" : "Rows",
      title: kind === "tile" ? "Tiles" : "Rows", "data-kind": kind, on: { click: () => this.wish({ kind }) },
    }, icon(`${kind}s`)));
    this.empty = el("p", { class: "notice", hidden: true });
    this.el = el("section", { class: "fleet" },
      el("div", { class: "overview" }, el("div", {}, this.heading, this.subline), this.counts),
      el("div", { class: "tools" }, this.search, this.sort, el("div", { class: "segments" }, ...this.kinds)),
      this.empty, this.list.el);
  }

  countButton(state) {
    const number = el("b");
    const button = el("button", {
      type: "button", class: "count", "data-state": state, "aria-pressed": "false", on: { click: () => this.toggle(state) },
    }, icon(state), number, el("span", { text: STATE_LABELS[state] }));
    button.firstChild.setAttribute("class", "icon state-icon");
    return { button, number };
  }

  toggle(state) {
    const states = new Set(this.wishes.states);
    if (!states.delete(state)) states.add(state);
    this.wish({ states: states.size ? states : null });
  }

  wish(changes) {
    Object.assign(this.wishes, changes);
    const { sort, kind } = this.wishes;
    this.storage.setItem(KEY, JSON.stringify({ sort, kind }));
    for (const button of this.kinds) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    for (const state of STATES) this.countButtons[state].button.setAttribute("aria-pressed", String(Boolean(this.wishes.states?.has(state))));
    this.arrange();
    this.list.paint(null, this.nowMs ?? Date.now());
  }

  mount() {
    this.list.mount();
    this.onKey = (event) => {
      if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
      event.preventDefault();
      this.search.focus();
    };
    addEventListener("keydown", this.onKey);
  }

  unmount() {
    this.list.unmount();
    this.list.clear();
    removeEventListener("keydown", this.onKey);
  }

  arrange() {
    const groups = grouped(this.fleet.units.values(), this.wishes);
    this.list.arrange(groups, this.wishes.kind);
    this.empty.hidden = groups.length > 0 || this.fleet.units.size === 0;
    setText(this.empty, "No unit matches. Clear the search or the filter to see all of them.");
  }

  /** Show how the fleet is now; `dirty` are the units with new readings, null means all. */
  paint({ counts, dirty, nowMs, isConnected }) {
    this.nowMs = nowMs;
    this.paintSummary(counts, isConnected);
    if (this.isOutOfDate(counts, nowMs)) {
      this.arrangedMs = nowMs;
      this.arrange();
    }
    this.list.paint(dirty, nowMs);
  }

  /** Whether the order of units may have changed; new units are shown at once, others do not jump about too often. */
  isOutOfDate(counts, nowMs) {
    const size = `${this.fleet.units.size} ${this.fleet.moves}`;
    const states = STATES.map((state) => counts[state]).join();
    const changed = states !== this.arrangedStates || SORTS[this.wishes.sort].flat;
    const due = size !== this.arrangedSize || (changed && nowMs - this.arrangedMs > REARRANGE_MS);
    if (due) Object.assign(this, { arrangedSize: size, arrangedStates: states });
    return due;
  }

  paintSummary(counts, isConnected) {
    const all = this.fleet.units.size;
    const troubled = counts.offline + counts.warning + counts.stale;
    setText(this.heading, headingOf(all, troubled));
    const sites = new Set([...this.fleet.units.values()].map((unit) => unit.site));
    sites.delete("");
    const places = sites.size ? ` at ${count(sites.size, "site")}` : "";
    const from = isConnected ? "live" : `as of ${clock(this.nowMs)}, not connected`;
    const awaited = this.fleet.awaited.size ? `; ${this.fleet.awaited.size.toLocaleString("en")} more registered, not heard of yet` : "";
    setText(this.subline, all ? `${count(all, "unit")}${places}, ${from}${awaited}` : "Units appear here with their first reading.");
    for (const state of STATES) {
      setText(this.countButtons[state].number, counts[state].toLocaleString("en"));
      this.countButtons[state].button.dataset.count = counts[state];
    }
  }
}

export function headingOf(all, troubled) {
  if (all === 0) return "Waiting for data";
  if (troubled === 0) return "All units are fine";
  return troubled === 1 ? "1 unit needs attention" : `${troubled.toLocaleString("en")} units need attention`;
}

function kept(storage) {
  try {
    const { sort, kind } = JSON.parse(storage.getItem(KEY)) ?? {};
    return { sort: Object.hasOwn(SORTS, sort) ? sort : "attention", kind: kind === "row" ? "row" : "tile" };
  } catch {
    return { sort: "attention", kind: "tile" };
  }
}
