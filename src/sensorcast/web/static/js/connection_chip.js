// The state of the connection in the bar: live with the age of the newest data, or when the next attempt is.

import { setText } from "./dom.js";
import { age } from "./format.js";

const SILENT_MS = 10_000; // a live connection without data for this long is said to be so
const LABELS = { connecting: "Connecting", degraded: "Slow connection, newest values only", offline: "No network" };

/** Give the words for a status. Pure. */
export function statusText({ state, nextAtMs }, newestAgeMs, nowMs) {
  if (state === "live") {
    if (!Number.isFinite(newestAgeMs)) return "Live, no data yet";
    return newestAgeMs < SILENT_MS ? "Live" : `Live, newest data ${age(newestAgeMs)} old`;
  }
  if (state === "reconnecting") return `Reconnecting in ${age(Math.max(0, nextAtMs - nowMs))}`;
  return LABELS[state] ?? "";
}

export class ConnectionChip {
  constructor(node, onNow) {
    this.el = node;
    this.text = node.querySelector(".connection-text");
    this.now = node.querySelector(".connection-now");
    this.now.addEventListener("click", onNow);
    this.status = { state: "off" };
  }

  show(status) {
    this.status = status;
    this.el.hidden = status.state === "off";
    this.el.dataset.state = status.state;
    this.now.hidden = status.state !== "reconnecting" && status.state !== "offline";
  }

  paint(newestAgeMs) {
    const silent = this.status.state === "live" && newestAgeMs >= SILENT_MS;
    this.el.dataset.state = silent ? "degraded" : this.status.state;
    setText(this.text, statusText(this.status, newestAgeMs, Date.now()));
    this.el.title = Number.isFinite(newestAgeMs) ? `Newest data is ${age(newestAgeMs)} old` : "";
  }
}
