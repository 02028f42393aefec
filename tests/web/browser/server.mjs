// A real sensorcast server of a test's own, and the credentials of an organization on it.

import { execFile, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const PYTHON = process.env.PYTHON ?? "python3";
const READY_MS = 60_000;
const run = promisify(execFile);

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

export class Server {
  /** Start a server on a data folder of its own. */
  static async start(settings = {}) {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), "sensorcast-browser-"));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.settings = settings;
    server.keys = new Map();
    await server.run();
    return server;
  }

  get environment() {
    const mine = Object.entries(this.settings).map(([name, value]) => [`SENSORCAST_${name.toUpperCase()}`, String(value)]);
    return { ...process.env, ...Object.fromEntries(mine), SENSORCAST_DATA: this.folder, SENSORCAST_LOG_LEVEL: "warning" };
  }

  /** Start the process, also after `kill` or `stop`; the port stays the same. */
  async run() {
    this.process = spawn(PYTHON, ["-m", "sensorcast", "serve", "--port", this.port], { env: this.environment, stdio: ["ignore", "ignore", "inherit"] });
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    const deadline = Date.now() + READY_MS;
    while (!(await fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false))) {
      if (Date.now() > deadline) throw new Error("the server does not get ready");
      await sleep(30);
    }
  }

  async kill(signal = "SIGKILL") {
    this.process.kill(signal);
    await this.ended;
  }

  async close() {
    await this.kill("SIGTERM");
    await rm(this.folder, { recursive: true, force: true });
  }

  async cli(...args) {
    const { stdout } = await run(PYTHON, ["-m", "sensorcast", ...args], { env: this.environment });
    return stdout.trim();
  }

  /** Sign a token as an identity provider with the server's secret would. */
  async token(org, { role = "viewer", seconds = 3_600 } = {}) {
    const secret = (await readFile(join(this.folder, "jwt-secret"), "utf8")).trim();
    const now = Math.floor(Date.now() / 1_000);
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: "somebody", org, role, iat: now, exp: now + seconds })}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  }

  async link(org, { path = "/", ...options } = {}) {
    return `${this.url}${path}#token=${await this.token(org, options)}`;
  }

  /** Register something of an organization, as its admin: `put("acme", "sites/harbour", {name: "Harbour"})`. */
  async put(org, path, body) {
    const answer = await fetch(`${this.url}/api/orgs/${org}/${path}`, {
      method: "PUT", headers: { Authorization: `Bearer ${await this.token(org, { role: "admin" })}`, "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** Send readings for an organization; give the ids they got. */
  async post(org, ...readings) {
    if (!this.keys.has(org)) this.keys.set(org, await this.cli("keys", "create", "--org", org));
    const answer = await fetch(`${this.url}/api/ingest/readings`, {
      method: "POST", headers: { "X-API-Key": this.keys.get(org), "Content-Type": "application/json" }, body: JSON.stringify({ readings }),
    });
    const receipt = await answer.json();
    if (!answer.ok || receipt.rejected.length) throw new Error(JSON.stringify(receipt));
    return receipt.readingIds;
  }
}

/** A reading as a device sends it, `ago` seconds old. */
export function measured(unitId, values = { temperature: 4.2 }, ago = 0, nowMs = Date.now()) {
  return { unitId, deviceId: "tx-1", recordedAt: new Date(nowMs - ago * 1_000).toISOString(), ...values };
}

/** Readings of a unit, each in the middle of a second of its own. */
export function history(unitId, ages, valuesAt) {
  const nowMs = Math.floor(Date.now() / 1_000) * 1_000 - 500;
  return ages.map((ago) => measured(unitId, valuesAt(ago), ago, nowMs));
}
