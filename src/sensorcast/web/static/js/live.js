// The live connection: opens it, keeps it open, says how it is. Owns the reconnection, so that its countdown can be shown.
//
// The server ends a credential by disconnecting us, and refuses one with a code; only then do we give up and ask anew.

import { io } from "../vendor/socket.io.esm.min.js";
import { delayMs } from "./backoff.js";

const ANSWER_MS = 8_000;
const GATHER_MS = 1_000;
const CREDENTIAL_CODES = new Set(["unauthenticated", "token_expired", "forbidden"]);

export class Live {
  /**
   * `on` holds `status({state, nextAtMs, reason})` with the states connecting, live, degraded, reconnecting and offline,
   * `batch(unitId, readings)`, `latest(readings)` after each connect, `sites(readings)` when asked for them, `expiring(atMs)` before access ends, and `refused(message)`.
   */
  constructor({ token, organizationId, on, isOnline = () => navigator.onLine }) {
    this.on = on;
    this.isOnline = isOnline;
    this.attempt = 0;
    this.timer = null;
    this.asking = null;
    this.clockOffsetMs = 0;
    this.stopped = false;
    this.socket = io({
      auth: { token, organizationId },
      autoConnect: false,
      reconnection: false,
      transports: ["websocket", "polling"],
      tryAllTransports: true,
    });
    this.listen();
  }

  listen() {
    const { socket } = this;
    socket.on("connect", () => this.connected());
    socket.on("disconnect", (reason) => this.lost(reason === "io server disconnect" ? "Your access has ended." : null));
    socket.on("connect_error", (error) => this.lost(CREDENTIAL_CODES.has(error.data?.code) ? error.message : null));
    socket.on("sensor:readings:batch", ({ unitId, readings }) => this.on.batch(unitId, readings));
    socket.on("auth:expiring", ({ exp }) => this.on.expiring(exp * 1_000));
    socket.on("stream:degraded", ({ reason }) => this.on.status({ state: "degraded", reason }));
    socket.on("stream:restored", () => this.connected());
  }

  start() {
    this.on.status({ state: "connecting" });
    this.socket.connect();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.asking);
    this.socket.disconnect();
  }

  /** Try at once instead of when the countdown ends. */
  tryNow() {
    if (this.stopped || this.socket.connected) return;
    clearTimeout(this.timer);
    this.start();
  }

  connected() {
    this.attempt = 0;
    this.on.status({ state: "live" });
    const sentMs = Date.now();
    this.socket.timeout(ANSWER_MS).emit("ping", (error, serverMs) => {
      if (!error && Number.isFinite(serverMs)) this.clockOffsetMs = serverMs - (sentMs + Date.now()) / 2;
    });
    this.askAll((readings) => this.on.latest(readings));
  }

  /** Ask for the newest readings of all units; an answer that is none, like a refusal, is left alone. */
  askAll(take) {
    this.socket.timeout(ANSWER_MS).emit("get:latest:all", (error, readings) => {
      if (!error && Array.isArray(readings)) take(readings);
    });
  }

  /** Ask where units are that were unknown until now: once for all that appear together. */
  askSites() {
    this.asking ??= setTimeout(() => {
      this.asking = null;
      this.askAll((readings) => this.on.sites(readings));
    }, GATHER_MS);
  }

  lost(refusal) {
    if (this.stopped) return;
    if (refusal !== null) {
      this.stop();
      this.on.refused(refusal);
      return;
    }
    clearTimeout(this.timer);
    const waitMs = delayMs(this.attempt, Math.random());
    this.attempt += 1;
    this.on.status({ state: this.isOnline() ? "reconnecting" : "offline", nextAtMs: Date.now() + waitMs });
    this.timer = setTimeout(() => this.start(), waitMs);
  }
}
