// The state of the connection in the bar: live with the age of the newest data, or when the next attempt is.

import { setText } from "./dom.js";
import { age } from "./format.js";

const SILENT_MS = 10_000; // a live connection without data for this long is said to be so
const LABELS = { connecting: "Connecting", offline: "No network" };
const REASONS = { slow: "Slow connection, newest values only", bus: "Server is catching up, some values come later" };

/** Give the words for a status; `endsAtMs` is when access ends, if that is soon. Pure. */
export function statusText({ state, nextAtMs, reason }, newestAgeMs, nowMs, endsAtMs = null) {
  if (state === "live") {
    if (endsAtMs !== null && endsAtMs > nowMs) return `Live, access ends in ${age(endsAtMs - nowMs)}`;
    if (!Number.isFinite(newestAgeMs)) return "Live, no data yet";
    return newestAgeMs < SILENT_MS ? "Live" : `Live, newest data ${age(newestAgeMs)} old`;
  }
  if (state === "reconnecting") return `Reconnecting in ${age(Math.max(0, nextAtMs - nowMs))}`;
  if (state === "degraded") return REASONS[reason] ?? "Some values may be missing";
  return LABELS[state] ?? "";
}

export class ConnectionChip {
  constructor(node, onNow) {
    this.el = node;
    this.text = node.querySelector(".connection-text");
    this.now = node.querySelector(".connection-now");
    this.now.addEventListener("click", onNow);
    this.status = { state: "off" };
    this.endsAtMs = null;
  }

  /** Say that access ends, and when. */
  expireAt(atMs) {
    this.endsAtMs = atMs;
  }

  show(status) {
    if (status.state === "off") this.endsAtMs = null;
    this.status = status;
    this.el.hidden = status.state === "off";
    this.el.dataset.state = status.state;
    this.now.hidden = status.state !== "reconnecting" && status.state !== "offline";
  }

  paint(newestAgeMs) {
    const worrying = this.status.state === "live" && (newestAgeMs >= SILENT_MS || this.endsAtMs !== null);
    this.el.dataset.state = worrying ? "degraded" : this.status.state;
    setText(this.text, statusText(this.status, newestAgeMs, Date.now(), this.endsAtMs));
    this.el.title = Number.isFinite(newestAgeMs) ? `Newest data is ${age(newestAgeMs)} old` : "";
  }
}
