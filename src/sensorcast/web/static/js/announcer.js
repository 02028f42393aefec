// Says what changed to screen readers: the connection at once, the fleet's health seldom, never every reading.

import { setText } from "./dom.js";
import { headingOf } from "./fleet_view.js";

const HEALTH_EVERY_MS = 15_000;
const SPOKEN = { live: "Connected", reconnecting: "Connection lost, reconnecting", offline: "No network" };
const SPOKEN_REASONS = { slow: "Slow connection", bus: "Server is catching up" };

export class Announcer {
  constructor(node) {
    this.node = node;
    this.said = undefined;
    this.troubled = null;
    this.saidMs = 0;
  }

  connection({ state, reason }) {
    if (state === "connecting") return;
    const words = state === "degraded" ? SPOKEN_REASONS[reason] ?? "Some values may be missing" : SPOKEN[state];
    if (words === this.said) return;
    this.said = words;
    if (words) setText(this.node, words);
  }

  health(all, counts, nowMs) {
    const troubled = counts.offline + counts.warning + counts.stale;
    if (all === 0 || troubled === this.troubled || nowMs - this.saidMs < HEALTH_EVERY_MS) return;
    this.saidMs = nowMs;
    if (this.troubled !== null) setText(this.node, headingOf(all, troubled));
    this.troubled = troubled;
  }
}
