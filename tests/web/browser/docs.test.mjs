import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Browser, until } from "./browser.mjs";
import { measured, Server } from "./server.mjs";

const GUIDE = new URL("../../../docs/how-to/watch-from-javascript.md", import.meta.url);
let server;
let browser;
let folder;

before(async () => {
  [server, browser, folder] = await Promise.all([Server.start(), Browser.launch(), mkdtemp(join(tmpdir(), "sensorcast-docs-"))]);
});
after(async () => {
  await browser.close();
  await server.close();
  await rm(folder, { recursive: true });
});

test("the plain JavaScript of the guide keeps the newest reading of every unit, through a restart", async (t) => {
  const [, code] = /```js\n(.*?)```/s.exec(await readFile(GUIDE, "utf8"));
  const module = join(folder, "watch-units.mjs");
  await writeFile(module, code.replace('"socket.io-client"', JSON.stringify(import.meta.resolve("socket.io-client"))));
  const { watchUnits } = await import(pathToFileURL(module));
  await server.post("acme", measured("fridge-1", { temperature: 1 }));
  let newest = new Map();
  const stop = watchUnits(server.url, await server.token("acme"), (units) => { newest = units; });
  t.after(stop);
  const temperature = () => newest.get("fridge-1")?.temperature;
  await until("the snapshot", () => temperature() === 1);
  await server.post("acme", measured("fridge-1", { temperature: 2 }));
  await until("a live reading", () => temperature() === 2);
  await server.kill();
  await server.run();
  await server.post("acme", measured("fridge-1", { temperature: 3 }), measured("fridge-1", { temperature: 9 }, 60));
  await until("what came after the restart", () => temperature() === 3, 30_000);
});

test("the page of the API shows every operation", async (t) => {
  const page = await browser.open(t, `${server.url}/docs`);
  await page.getByText("/api/ingest/readings").waitFor();
  const described = await (await fetch(`${server.url}/openapi.json`)).json();
  const operations = Object.values(described.paths).flatMap((methods) => Object.keys(methods)).length;
  assert.equal(await page.locator("article").count(), operations);
});
