import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser, card, connection, until } from "./browser.mjs";
import { measured, Server } from "./server.mjs";

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.launch()]);
  await server.post("acme", measured("harbour.fridge-01"));
  await server.post("globex", measured("station.freezer-01"));
});
after(async () => {
  await browser.close();
  await server.close();
});

test("a login link signs in, leaves no token in the address and sends none in one", async (t) => {
  const token = await server.token("acme");
  const page = await browser.open(t, `${server.url}/#token=${token}`);
  await card(page, "harbour.fridge-01").waitFor();
  assert.equal(page.url(), `${server.url}/`);
  const leaking = page.requests.filter((request) => request.url().includes(token));
  assert.deepEqual(leaking.map((request) => request.url()), []);
});

test("a reload keeps the session, a new tab does not", async (t) => {
  const page = await browser.open(t, await server.link("acme"));
  await card(page, "harbour.fridge-01").waitFor();
  await page.reload();
  await card(page, "harbour.fridge-01").waitFor();
  const other = await page.context().newPage();
  await other.goto(server.url);
  await other.getByLabel("Access token").waitFor();
});

test("a pasted token signs in, signing out forgets it", async (t) => {
  const page = await browser.open(t, server.url);
  await page.getByLabel("Access token").fill(`  ${await server.token("acme")}\n`);
  await page.keyboard.press("Enter");
  await card(page, "harbour.fridge-01").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Access token").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("sensorcast.token")), null);
  assert.equal(await card(page, "harbour.fridge-01").count(), 0);
});

for (const [what, make] of [
  ["text that is no token", async () => "hello"],
  ["a token signed by somebody else", async () => `${(await server.token("acme")).slice(0, -6)}AAAAAA`],
  ["an expired token", () => server.token("acme", { seconds: -120 })],
]) {
  test(`${what} is refused with a reason`, async (t) => {
    const page = await browser.open(t, server.url);
    await page.getByLabel("Access token").fill(await make());
    await page.getByRole("button", { name: "Open dashboard" }).click();
    await until("a reason is said", async () => (await page.getByRole("alert").innerText()) !== "");
    assert.equal(await page.evaluate(() => sessionStorage.getItem("sensorcast.token")), null);
  });
}

test("a token for several organizations lets one choose", async (t) => {
  const page = await browser.open(t, await server.link(["acme", "globex"]));
  await card(page, "harbour.fridge-01").waitFor();
  await page.getByLabel("Organization").selectOption("globex");
  await card(page, "station.freezer-01").waitFor();
  assert.equal(await card(page, "harbour.fridge-01").count(), 0);
  await page.reload();
  await card(page, "station.freezer-01").waitFor();
});

test("only admins and owners get to the operations view", async (t) => {
  const viewer = await browser.open(t, `${await server.link("acme")}`);
  await until("live", async () => (await connection(viewer)).startsWith("Live"));
  assert.equal(await viewer.getByRole("link", { name: "Operations" }).count(), 0);
  await viewer.goto(`${server.url}/#/operations`);
  await viewer.getByRole("heading", { name: /unit|fine|data/ }).waitFor();
  const admin = await browser.open(t, await server.link("acme", { role: "admin" }));
  await admin.getByRole("link", { name: "Operations" }).click();
  await admin.getByRole("heading", { name: "Operations" }).waitFor();
});

test("when the access of a token ends the page says so before, and asks for another one", async (t) => {
  const page = await browser.open(t, await server.link("acme", { seconds: -26 })); // within the leeway of 30 s
  await until("a warning", async () => /access ends|Access token/.test(`${await connection(page)} ${await page.locator("main").innerText()}`));
  await page.getByRole("alert").waitFor({ timeout: 20_000 });
  assert.match(await page.getByRole("alert").innerText(), /access|expired/i);
});
