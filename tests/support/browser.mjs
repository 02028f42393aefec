// Opens a page in headless Chromium and waits until a JavaScript expression in it becomes truthy.
//
//   node browser.mjs '{"url", "until", "timeoutMs", "screenshot"?, "width"?, "height"?, "dark"?}'
//
// Prints {"value", "errors"}: what the expression gave (null in case it never did), and what the page complained about.
import { chromium } from "playwright-core";

const { url, until, timeoutMs, screenshot, width = 1280, height = 800, dark = false } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const page = await browser.newPage({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
await page.goto(url);

const deadline = Date.now() + timeoutMs;
let value = null;
while (!(value = await page.evaluate(until)) && Date.now() < deadline) await page.waitForTimeout(50);
if (screenshot) await page.screenshot({ path: screenshot });
await browser.close();
process.stdout.write(JSON.stringify({ value: value || null, errors }));
