import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser, card, connection, until } from "./browser.mjs";
import { measured, Server } from "./server.mjs";

const MARKUP = '<img src=x onerror="window.harmed=1">';
let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.launch()]);
});
after(async () => {
  await browser.close();
  await server.close();
});

test("text from outside is text, and names that mean something to JavaScript are just names", async (t) => {
  const metrics = JSON.parse(`{"__proto__": 1, "constructor": 2, "${MARKUP.replaceAll('"', '\\"')}": 3}`);
  const ids = ["__proto__", "constructor", "toString", "harbour.__proto__", "..", "-", "a:b:c"];
  await server.post("odd", ...ids.map((id) => measured(id, { temperature: 4, metrics })));
  const page = await browser.open(t, await server.link("odd"));
  for (const id of ids) await card(page, id).waitFor();
  assert.equal(await page.locator(".unit").count(), ids.length);
  for (const id of ["__proto__", "a:b:c", "-"]) {
    await page.evaluate((hash) => { location.hash = hash; }, `#/unit/${encodeURIComponent(id)}?range=15m`);
    await until(`charts of ${id}`, async () => (await page.locator(".chart").count()) === 4);
    await until("a point", async () => (await page.locator(".chart").first().getAttribute("data-points")) === "1");
  }
  assert.equal(await page.getByText("<img src=x onerror").count() > 0, true);
  assert.equal(await page.evaluate(() => document.querySelectorAll("main img").length), 0);
  assert.equal(await page.evaluate(() => window.harmed ?? {}.harmed ?? null), null);
});

test("markup in the claims of a token or in the address stays text", async (t) => {
  const token = await server.token([MARKUP, "odd"], { role: MARKUP });
  const page = await browser.open(t, `${server.url}/#token=${token}`);
  await until("something is said", async () => (await page.locator("main").innerText()) !== "");
  await page.goto(`${server.url}/#/unit/${encodeURIComponent(MARKUP)}?range=${encodeURIComponent(MARKUP)}`);
  assert.equal(await page.evaluate(() => document.querySelectorAll("main img").length), 0);
  assert.equal(await page.evaluate(() => window.harmed ?? null), null);
});

test("the policy forbids inline scripts, inline styles and other servers", async (t) => {
  const page = await browser.open(t, server.url, { expected: /Content Security Policy/ });
  await page.getByLabel("Access token").waitFor();
  const violated = await page.evaluate(() => new Promise((resolve) => {
    const seen = [];
    addEventListener("securitypolicyviolation", (event) => {
      seen.push(event.effectiveDirective);
      event.stopImmediatePropagation();
    });
    const script = document.createElement("script");
    script.textContent = "window.harmed = 1";
    const style = document.createElement("style");
    style.textContent = "body { display: none }";
    document.head.append(script, style);
    fetch("https://example.invalid/").catch(() => {});
    const look = () => (seen.length < 3 ? setTimeout(look, 50) : resolve(seen.sort()));
    setTimeout(look, 300);
  }));
  assert.deepEqual(violated, ["connect-src", "script-src-elem", "style-src-elem"]);
  assert.equal(await page.evaluate(() => window.harmed ?? null), null);
});

test("nothing is asked of any other server", async (t) => {
  await server.post("odd", measured("fridge-1"));
  const page = await browser.open(t, await server.link("odd", { role: "owner" }));
  await until("live", async () => (await connection(page)).startsWith("Live"));
  await card(page, "fridge-1").click();
  await page.locator(".chart").first().waitFor();
  await page.getByRole("link", { name: "Operations" }).click();
  await page.locator(".figure").first().waitFor();
  await page.goto(`${server.url}/docs`);
  await page.getByText("/api/ingest/readings").first().waitFor();
  const elsewhere = page.requests.map((request) => new URL(request.url())).filter((url) => url.protocol !== "blob:" && url.host !== `127.0.0.1:${server.port}`);
  assert.deepEqual(elsewhere.map(String), []);
});
