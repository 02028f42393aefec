// Runs one scenario of `stock_scenarios.mjs` with npm socket.io-client in headless Chromium and prints its report.
//
// usage: node stock_browser.mjs SCENARIO URL [ARGUMENT ...]
// The page and its scripts are put in by the browser driver. The page has the origin of the server, or PAGE_ORIGIN.
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [scenario, url, ...args] = process.argv.slice(2);
const origin = process.env.PAGE_ORIGIN ?? url;
const client = new URL("../../node_modules/socket.io-client/dist/socket.io.esm.min.js", import.meta.url);
const served = {
  "/page": ["text/html", "<!doctype html><link rel=icon href=data:,><title>scenario</title>"],
  "/client.mjs": ["text/javascript", await readFile(client, "utf8")],
  "/scenarios.mjs": ["text/javascript", await readFile(new URL("./stock_scenarios.mjs", import.meta.url), "utf8")],
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    // The page is put in by the driver, so it counts as coming from nowhere local.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
  ],
});
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  for (const [path, [contentType, body]] of Object.entries(served)) {
    await page.route(origin + path, (route) => route.fulfill({ contentType, body }));
  }
  await page.goto(`${origin}/page`);
  const report = await page.evaluate(
    async ({ scenario, args }) => {
      const [{ io }, scenarios] = await Promise.all([import("/client.mjs"), import("/scenarios.mjs")]);
      return scenarios[scenario](io, ...args);
    },
    { scenario, args: [url, ...args] },
  );
  process.stdout.write(JSON.stringify({ ...report, errors }));
} finally {
  await browser.close();
}
