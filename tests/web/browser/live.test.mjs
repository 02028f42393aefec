import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Browser, card, connection, shown, until } from "./browser.mjs";
import { history, measured, Server } from "./server.mjs";

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.launch()]);
});
after(async () => {
  await browser.close();
  await server.close();
});

const tableTimes = (page) => page.locator(".data tbody th").evaluateAll((cells) => cells.map((cell) => cell.title));

test("a reading is on the page within 1.5 s of its POST", async (t) => {
  await server.post("live", measured("fridge-1", { temperature: 4 }));
  const page = await browser.open(t, await server.link("live"));
  await card(page, "fridge-1").waitFor();
  const tookMs = [];
  for (const temperature of [5.5, 6.5, 7.5, 4.5, 3.5]) {
    const sentMs = Date.now();
    await server.post("live", measured("fridge-1", { temperature }));
    await until("the new value", async () => (await shown(page, "fridge-1")) === `${temperature}°C`);
    tookMs.push(Date.now() - sentMs);
  }
  // A flush comes once a second; the machine may have been busy with something else during one or two.
  assert.ok(tookMs.toSorted((one, other) => one - other)[2] < 1_500, `${tookMs} ms`);
});

test("a unit that nobody knew appears with its first reading", async (t) => {
  const page = await browser.open(t, await server.link("empty"));
  await page.getByRole("heading", { name: "Waiting for data" }).waitFor();
  await server.post("empty", measured("site-a.new-1"));
  await card(page, "site-a.new-1").waitFor();
  await page.getByRole("heading", { name: "site-a" }).waitFor();
  await server.post("empty", measured("new-2", { temperature: 4, siteId: "harbour" }));
  await page.getByRole("heading", { name: "harbour" }).waitFor();
});

test("late data does not move the shown value back", async (t) => {
  await server.post("late", measured("fridge-1", { temperature: 8 }));
  const page = await browser.open(t, await server.link("late"));
  await card(page, "fridge-1").waitFor();
  await server.post("late", measured("fridge-1", { temperature: 1 }, 300));
  await until("it is marked as late", async () => (await card(page, "fridge-1").getAttribute("data-state")) === "late");
  assert.equal(await shown(page, "fridge-1"), "8.0°C");
});

test("after a server restart the page reconnects by itself and fills the gap", async (t) => {
  await server.post("gap", ...history("fridge-1", [20, 19, 18], () => ({ temperature: 4 })));
  const page = await browser.open(t, await server.link("gap"));
  await card(page, "fridge-1").click();
  await page.getByRole("button", { name: "15 min" }).click();
  await until("history", async () => (await tableTimes(page)).length === 3);

  await server.kill();
  await until("a countdown", async () => /Reconnecting in \d+/.test(await connection(page)));
  await page.route("**/socket.io/**", (route) => route.abort());
  await page.context().setOffline(true);
  await server.run();
  // Measured, sent and flushed while the page is away: only history can tell it.
  await server.post("gap", ...history("fridge-1", [4, 3], () => ({ temperature: 6 })));
  await sleep(1_500);
  assert.equal((await tableTimes(page)).length, 3);
  await page.context().setOffline(false);
  await page.unroute("**/socket.io/**");

  await until("live again", async () => (await connection(page)).startsWith("Live"), 30_000);
  await until("the gap is filled", async () => (await tableTimes(page)).length === 5);
  await server.post("gap", measured("fridge-1", { temperature: 9 }));
  await until("live goes on", async () => (await tableTimes(page)).length === 6);
  const times = await tableTimes(page);
  assert.deepEqual(times, [...new Set(times)].sort().reverse());
  await until("the chart has every reading once", async () => (await page.locator(".chart").first().getAttribute("data-points")) === "6");
});

test("while the server is away the page says since when, and units are not blamed for it", async (t) => {
  await server.post("away", measured("fridge-1", { temperature: 4 }));
  const page = await browser.open(t, await server.link("away"));
  await card(page, "fridge-1").waitFor();
  await server.kill();
  await page.getByText(/as of \d\d:\d\d:\d\d, not connected/).waitFor();
  await page.evaluate(() => { location.hash = "#/unit/fridge-1?range=15m"; });
  await page.getByText("as soon as the server can be reached").waitFor();
  await server.run();
  await until("the history is there", async () => (await page.locator(".chart").first().getAttribute("data-points")) === "1", 30_000);
});

test("a tab that slept catches up without a flood", async (t) => {
  await server.post("sleepy", measured("fridge-1", { temperature: 1 }));
  const page = await browser.open(t, await server.link("sleepy"));
  await card(page, "fridge-1").waitFor();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  for (let temperature = 2; temperature < 6; temperature += 1) {
    await server.post("sleepy", measured("fridge-1", { temperature }));
    await sleep(400);
  }
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await until("the newest value", async () => (await shown(page, "fridge-1")) === "5.0°C");
});
