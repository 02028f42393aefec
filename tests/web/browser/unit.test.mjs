import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Browser, until } from "./browser.mjs";
import { history, measured, Server } from "./server.mjs";

let server;
let browser;
const HISTORY_S = 600;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.launch()]);
  // One reading a second for ten minutes, with two minutes missing.
  const ages = Array.from({ length: HISTORY_S }, (_, index) => HISTORY_S - index + 20).filter((ago) => ago < 300 || ago > 420);
  await server.post("acme", ...history("harbour.fridge-01", ages, (ago) => ({ temperature: 4 + Math.sin(ago / 30), metrics: { powerW: ago % 100 } })));
  await server.post("acme", measured("harbour.fridge-01", { temperature: 5, metrics: { powerW: 7 }, battery: 77, signalStrength: -61 }, 15));
});
after(async () => {
  await browser.close();
  await server.close();
});

const open = async (t, query = "range=15m") => {
  const page = await browser.open(t, await server.link("acme"));
  await page.locator(".unit").waitFor();
  await page.evaluate((hash) => { location.hash = hash; }, `#/unit/harbour.fridge-01?${query}`);
  await page.locator(".chart").first().waitFor();
  return page;
};
const points = async (page) => Number(await page.locator(".chart").first().getAttribute("data-points"));
const pressed = (page) => page.locator('.ranges [aria-pressed="true"]').allInnerTexts();

test("history and live readings join without a gap or a double point", async (t) => {
  const page = await open(t);
  const stored = HISTORY_S - 121 + 1;
  await until("every stored reading is a point", async () => (await points(page)) === stored);
  for (let more = 1; more <= 4; more += 1) {
    await server.post("acme", measured("harbour.fridge-01", { temperature: 5 + more }));
    await until(`point ${more}`, async () => (await points(page)) === stored + more);
    await sleep(1_050); // the next one belongs to another second, and so to another point
  }
});

test("every measure has a chart, and the unit's facts are there", async (t) => {
  const page = await open(t);
  await until("charts", async () => (await page.locator(".chart h2").allInnerTexts()).join() === "Temperature (°C),Power (W),Battery (%),Signal (dBm)");
  await page.getByText("tx-1").waitFor();
  await until("rows", async () => (await page.locator(".data tbody tr").count()) === 50);
});

test("a range can be chosen, drawn, moved, typed, and survives a reload and going back", async (t) => {
  const page = await open(t);
  await page.getByRole("button", { name: "24 h" }).click();
  await until("24 h", async () => (await pressed(page)).join() === "24 h");
  const box = await page.locator(".chart .u-over").first().boundingBox();
  await page.mouse.move(box.x + box.width * 0.7, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 50, { steps: 4 });
  await page.mouse.up();
  await until("a range of one's own", async () => /from=\d+&to=\d+/.test(page.url()));
  const drawn = page.url();
  await page.getByRole("button", { name: "Earlier" }).click();
  await until("moved", async () => page.url() !== drawn);
  await page.goBack();
  await until("back", async () => page.url() === drawn);
  await page.reload();
  await until("custom after a reload", async () => (await pressed(page)).join() === "Custom");
  await page.getByRole("button", { name: "Custom" }).click();
  await page.locator("input[name=from]").fill("2025-01-01T00:00");
  await page.locator("input[name=to]").fill("2025-01-02T00:00");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByText("No readings in this time").first().waitFor();
});

test("the export holds every reading of the shown span", async (t) => {
  const page = await open(t);
  await until("loaded", async () => (await points(page)) > 400);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export CSV" }).click()]);
  assert.equal(download.suggestedFilename(), "harbour.fridge-01.csv");
  const [header, ...lines] = (await readFile(await download.path(), "utf8")).trim().split("\r\n");
  assert.match(header, /^recordedAt,unitId,deviceId,temperature/);
  assert.ok(lines.length >= HISTORY_S - 120);
});

test("a unit that is not there says so", async (t) => {
  const page = await browser.open(t, await server.link("acme"));
  await page.locator(".unit").waitFor();
  for (const hash of ["#/unit/nobodys", "#/unit/%E0%A4%A"]) {
    await page.evaluate((address) => { location.hash = address; }, "#/");
    await page.locator(".unit").first().waitFor();
    await page.evaluate((address) => { location.hash = address; }, hash);
    await page.getByText("There is no unit of this name").waitFor();
  }
});

test("operators see numbers that move", async (t) => {
  const page = await browser.open(t, await server.link("acme", { role: "owner" }));
  await page.getByRole("link", { name: "Operations" }).click();
  const figure = (name) => page.locator(".figure", { hasText: name }).locator("dd span").innerText();
  await until("connections", async () => Number(await figure("Connections")) >= 1);
  await server.post("acme", ...Array.from({ length: 50 }, (_, index) => measured("harbour.fridge-01", { temperature: 4 }, 3_000 + index)));
  await until("a rate", async () => Number(await figure("Readings stored")) > 0);
  await page.getByText("ready", { exact: true }).waitFor();
});
