// Debian's Chromium without a window. A page that logs an error, or breaks the content security policy, fails its test.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
// What the browser itself logs when a server is away on purpose.
const NETWORK = /net::ERR_(FAILED|INTERNET|CONNECTION|EMPTY|SOCKET|CONTENT_LENGTH|INCOMPLETE|NETWORK)|WebSocket connection to .* failed|status of (401|404|403)/;

export class Browser {
  static async launch() {
    const browser = new Browser();
    browser.chromium = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });
    return browser;
  }

  /** Open a page of a fresh visitor, and close it when the test `t` ends. */
  async open(t, url, { width = 1_280, height = 900, dark = false, touch = false, expected = NETWORK } = {}) {
    const context = await this.chromium.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: touch, acceptDownloads: true });
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && !expected.test(message.text()) && errors.push(message.text()));
    page.requests = [];
    page.on("request", (request) => page.requests.push(request));
    t.after(async () => {
      await context.close();
      assert.deepEqual(errors, []);
    });
    await page.goto(url);
    return page;
  }

  async close() {
    await this.chromium.close();
  }
}

/** Ask again and again until it is true; playwright's own waiting needs `eval`, which our pages forbid. */
export async function until(what, isTrue, withinMs = 30_000) {
  const deadline = Date.now() + withinMs;
  let last;
  while (Date.now() < deadline) {
    last = await isTrue();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new assert.AssertionError({ message: `not within ${withinMs} ms: ${what}`, actual: last, expected: "truthy" });
}

/** The tile or row of a unit. */
export const card = (page, unitId) => page.locator(`.unit[href="#/unit/${encodeURIComponent(unitId)}"]`);
export const shown = async (page, unitId) => (await card(page, unitId).locator(".value").innerText()).replaceAll(/\s+/g, " ");
export const connection = (page) => page.locator(".connection-text").innerText();
