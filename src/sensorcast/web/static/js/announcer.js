// Says what changed to screen readers: the connection at once, the fleet's health seldom, never every reading.

import { setText } from "./dom.js";
import { headingOf } from "./fleet_view.js";

const HEALTH_EVERY_MS = 15_000;
const SPOKEN = { live: "Connected", reconnecting: "Connection lost, reconnecting", offline: "No network", degraded: "Slow connection" };

export class Announcer {
  constructor(node) {
    this.node = node;
    this.state = "off";
    this.troubled = null;
    this.saidMs = 0;
  }

  connection(state) {
    if (state === this.state || state === "connecting") return;
    this.state = state;
    if (SPOKEN[state]) setText(this.node, SPOKEN[state]);
  }

  health(all, counts, nowMs) {
    const troubled = counts.offline + counts.warning + counts.stale;
    if (all === 0 || troubled === this.troubled || nowMs - this.saidMs < HEALTH_EVERY_MS) return;
    this.saidMs = nowMs;
    if (this.troubled !== null) setText(this.node, headingOf(all, troubled));
    this.troubled = troubled;
  }
}
