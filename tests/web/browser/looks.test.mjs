import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser, card, until } from "./browser.mjs";
import { measured, Server } from "./server.mjs";

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.launch()]);
  await server.post("acme",
    measured("harbour.a-unit-with-quite-a-long-name-that-does-not-fit-01", { temperature: -18.5, humidity: 60, battery: 80, signalStrength: -60, metrics: { powerW: 120 } }),
    measured("harbour.fridge-02", { temperature: 9, battery: 7 }),
    measured("airport.old-01", { temperature: 1 }, 3_600), measured("airport.quiet-01", { temperature: 1 }, 300));
});
after(async () => {
  await browser.close();
  await server.close();
});

const VIEWS = ["#/", "#/unit/harbour.a-unit-with-quite-a-long-name-that-does-not-fit-01", "#/operations"];

async function eachView(page, look) {
  await page.locator(".unit").first().waitFor();
  for (const view of VIEWS) {
    await page.evaluate((hash) => { location.hash = hash; }, view);
    await page.locator(view === "#/" ? ".unit" : ".chart, .figure").first().waitFor();
    await look(view);
  }
}

for (const width of [320, 390, 768]) {
  test(`nothing is cut off or scrolls sideways on a screen of ${width} pixels`, async (t) => {
    const page = await browser.open(t, await server.link("acme", { role: "owner" }), { width, height: 800, touch: true });
    await eachView(page, async (view) => {
      const widest = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(widest <= width, `${view}: ${widest} pixels`);
    });
  });
}

test("on a phone whatever can be pressed is large enough and says it in one line", async (t) => {
  const page = await browser.open(t, await server.link("acme", { role: "owner" }), { width: 320, height: 800, touch: true });
  await eachView(page, async (view) => {
    const wrong = await page.locator(":is(a, button, select, input):visible:not(.skip)").evaluateAll((parts) => parts
      .filter((part) => {
        const { width, height } = part.getBoundingClientRect();
        return width < 24 || height < 24 || (part.tagName === "BUTTON" && height > 44);
      })
      .map((part) => part.outerHTML));
    assert.deepEqual(wrong, [], view);
  });
});

test("the bar of a phone holds everything, also while reconnecting", async (t) => {
  const own = await Server.start();
  t.after(() => own.close());
  await own.post("acme", measured("harbour.fridge-01"));
  const page = await browser.open(t, await own.link(["acme", "an-organization-with-a-long-name"], { role: "owner" }), { width: 320, height: 700 });
  await card(page, "harbour.fridge-01").waitFor();
  await own.kill();
  await page.getByRole("button", { name: "Now" }).waitFor();
  await page.getByText("not connected").waitFor();
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320);
  const outside = await page.locator(".bar-end > *:visible").evaluateAll((parts) => parts.filter((part) => part.getBoundingClientRect().right > 320).length);
  assert.equal(outside, 0);
  await own.run();
  await page.getByText("live", { exact: false }).first().waitFor();
});

/** Runs in the page: give texts whose contrast with what is behind them is below WCAG AA. */
function faintTexts() {
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r / 255, g / 255, b / 255, a / 255];
  };
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return rgba("white");
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || !parent.checkVisibility() || parent.closest("noscript, .announcer, .skip, option")) continue;
    const style = getComputedStyle(parent);
    const [back, ink] = [behind(parent), rgba(style.color)];
    const [bright, dark] = [luminance(ink), luminance(back)].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const large = Number.parseFloat(style.fontSize) >= 24 || (Number.parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${parent.className || parent.tagName}: ${node.textContent.trim().slice(0, 30)}`);
  }
  return faint;
}

for (const dark of [false, true]) {
  test(`every text has enough contrast in the ${dark ? "dark" : "light"} theme`, async (t) => {
    const page = await browser.open(t, await server.link("acme", { role: "owner" }), { dark });
    await eachView(page, async (view) => assert.deepEqual(await page.evaluate(faintTexts), [], view));
    const login = await browser.open(t, server.url, { dark });
    await login.getByLabel("Access token").waitFor();
    assert.deepEqual(await login.evaluate(faintTexts), []);
  });
}

test("the theme follows the system until one is chosen, and the choice is kept", async (t) => {
  const page = await browser.open(t, await server.link("acme"), { dark: true });
  const isDark = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor === "rgb(12, 17, 23)");
  await card(page, "harbour.fridge-02").waitFor();
  assert.equal(await isDark(), true);
  await page.getByRole("button", { name: "Colour theme: auto" }).click();
  assert.equal(await isDark(), false);
  await page.reload();
  await card(page, "harbour.fridge-02").waitFor();
  assert.equal(await isDark(), false);
  await page.getByRole("button", { name: "Colour theme: light" }).click();
  await page.emulateMedia({ colorScheme: "light" });
  await until("dark by choice", isDark);
});

test("on a wall everything grows with the screen", async (t) => {
  const page = await browser.open(t, await server.link("acme"), { width: 3_840, height: 2_160 });
  await card(page, "harbour.fridge-02").waitFor();
  const size = await card(page, "harbour.fridge-02").locator(".value").evaluate((node) => Number.parseFloat(getComputedStyle(node).fontSize));
  assert.ok(size > 40, `${size} pixels`);
});
