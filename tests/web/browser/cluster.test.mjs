import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser, card, connection, until } from "./browser.mjs";
import { measured, Server } from "./server.mjs";

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start({ node_name: "<b>kitchen</b>", workers: 2 }), Browser.launch()]);
});
after(async () => {
  await browser.close();
  await server.close();
});

/** Open a page; what is then given to `say` comes to it as from the server, amid what the server says. */
async function openWithVoice(t, link) {
  const page = await browser.open(t, server.url);
  let say;
  await page.routeWebSocket(/socket\.io/, (socket) => {
    socket.connectToServer();
    say = (event, message) => socket.send(`42${JSON.stringify([event, message])}`);
  });
  await page.goto(link);
  await page.reload();
  await until("live", async () => (await connection(page)).startsWith("Live"));
  return { page, say: (event, message) => say(event, message) };
}

test("why the stream is degraded is said in words, and when it is not any more", async (t) => {
  await server.post("acme", measured("fridge-1"));
  const { page, say } = await openWithVoice(t, await server.link("acme"));
  await card(page, "fridge-1").waitFor();
  const spoken = () => page.locator(".announcer").textContent();
  const since = new Date().toISOString();
  for (const [reason, words] of [["slow", "Slow connection"], ["bus", "Server is catching up"], ["other", "Some values may be missing"]]) {
    say("stream:degraded", { since, reason });
    await until(reason, async () => (await connection(page)).startsWith(words));
    assert.ok((await spoken()).startsWith(words));
    assert.equal(await page.locator(".connection").getAttribute("data-state"), "degraded");
  }
  say("stream:restored", { since, until: since });
  await until("live again", async () => (await connection(page)).startsWith("Live"));
  assert.equal(await spoken(), "Connected");
});

test("operators see every node, since when it runs, and which one they asked", async (t) => {
  const page = await browser.open(t, await server.link("acme", { role: "admin" }));
  await page.getByRole("link", { name: "Operations" }).click();
  const names = () => page.locator(".nodes dt").allInnerTexts();
  await until("both", async () => (await names()).length === 2);
  assert.deepEqual((await names()).map((name) => name.replace(" (this one)", "")).sort(), ["<b>kitchen</b>/0", "<b>kitchen</b>/1"]);
  assert.equal((await names()).filter((name) => name.endsWith("(this one)")).length, 1);
  for (const text of await page.locator(".nodes dd").allInnerTexts()) assert.match(text, /^since .*\d\d:\d\d:\d\d$/);
});
