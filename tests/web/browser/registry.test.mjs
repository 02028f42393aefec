import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser, card, until } from "./browser.mjs";
import { measured, Server } from "./server.mjs";

const MARKUP = '<img src=x onerror="window.harmed=1">';
let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.launch()]);
  await server.put("acme", "sites/s-1", { name: "Harbour" });
  await server.put("acme", "sites/s-2", { name: "Airport" });
  await server.put("acme", "units/fridge-01", { name: "Walk-in freezer", siteId: "s-1", area: "Kitchen" });
  await server.put("acme", "units/fridge-02", { name: MARKUP, siteId: "s-2", area: MARKUP, metadata: { note: MARKUP } });
  await server.put("acme", "units/fridge-03", { siteId: "s-2" });
  await server.put("acme", "units/announced", { name: "Comes tomorrow" });
  await server.post("acme", measured("fridge-01"), measured("fridge-02"), measured("fridge-03"), measured("pier.wild-01"));
});
after(async () => {
  await browser.close();
  await server.close();
});

const open = async (t, options) => {
  const page = await browser.open(t, await server.link("acme"), options);
  await until("names", async () => (await card(page, "fridge-01").locator(".name").innerText()) === "Walk-in freezer");
  return page;
};
const headings = (page) => page.locator(".group h2").allInnerTexts();

test("units are called by their names, with the id below, at sites by theirs", async (t) => {
  const page = await open(t);
  await until("sites", async () => (await headings(page)).join() === "Airport,Harbour,pier");
  assert.equal(await card(page, "fridge-01").locator(".id").innerText(), "fridge-01");
  assert.equal(await card(page, "fridge-03").locator(".name").innerText(), "fridge-03");
  assert.equal(await card(page, "fridge-03").locator(".id").isVisible(), false);
  assert.equal(await card(page, "pier.wild-01").locator(".name").innerText(), "wild-01");
  assert.match(await page.locator(".overview p").innerText(), /^4 units at 3 sites, live; 1 more registered, not heard of yet$/);
  await page.getByRole("button", { name: "Rows" }).click();
  await until("rows", async () => (await page.locator(".unit.row .id:visible").count()) === 2);
});

test("the page of a unit says its name, its id, its site and its area", async (t) => {
  const page = await open(t);
  await card(page, "fridge-01").click();
  await page.getByRole("heading", { name: "Walk-in freezer" }).waitFor();
  assert.equal(await page.locator(".unit-head .id").innerText(), "fridge-01");
  assert.equal(await page.locator(".crumb").innerText(), "Harbour");
  await page.locator(".facts-list").getByText("Kitchen").waitFor();
  await until("title", async () => (await page.title()) === "Walk-in freezer · sensorcast");
});

test("a search finds names, sites and areas", async (t) => {
  const page = await open(t);
  for (const words of ["walk freezer", "harbour kitchen", "fridge-01"]) {
    await page.getByLabel("Search units").fill(words);
    await until(words, async () => (await page.locator(".unit").count()) === 1);
    await card(page, "fridge-01").waitFor();
  }
});

test("names with markup in them are only text", async (t) => {
  const page = await open(t);
  await until("the name", async () => (await card(page, "fridge-02").locator(".name").innerText()) === MARKUP);
  await card(page, "fridge-02").click();
  await page.getByRole("heading", { name: MARKUP }).waitFor();
  await page.locator(".facts-list").getByText(MARKUP).waitFor();
  assert.equal(await page.evaluate(() => document.querySelectorAll("main img").length), 0);
  assert.equal(await page.evaluate(() => window.harmed ?? null), null);
});

test("a unit that turns up later gets its name without a reload", async (t) => {
  const page = await open(t);
  await server.put("acme", "units/late-01", { name: "Came later" });
  await server.post("acme", measured("late-01"));
  await until("its name", async () => (await card(page, "late-01").locator(".name").innerText().catch(() => "")) === "Came later", 20_000);
});

test("names fit on a phone", async (t) => {
  const page = await open(t, { width: 320, height: 700, touch: true });
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320);
  const cut = await card(page, "fridge-01").evaluate((tile) => [...tile.children].filter((part) => part.getBoundingClientRect().bottom > tile.getBoundingClientRect().bottom).length);
  assert.equal(cut, 0);

});
