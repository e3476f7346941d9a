// Headless browser. Pages fail the test if they log an error or send a request to another host.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { PATIENCE } from "./programs.mjs";

const CHROMIUM = process.env.BETACREW_CHROMIUM ??
  ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

export async function browser() {
  if (!CHROMIUM || !existsSync(CHROMIUM)) throw new Error("there is no chromium");
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Opens a page on `http`. Its errors and foreign requests are kept in `complaints`. */
export async function open(from, http, options = {}) {
  const page = await from.newPage({ viewport: { width: 1440, height: 900 }, ...options });
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  /** Prefixes of paths whose requests may fail. The browser logs every failed request. */
  const state = { failing: [] };
  page.on("console", (message) => {
    const wanted = message.text().startsWith("Failed to load resource") &&
      state.failing.some((path) => new URL(message.location().url).pathname.startsWith(path));
    if (["error", "warning"].includes(message.type()) && !wanted) {
      complaints.push(`console: ${message.text()} ${message.location().url}`);
    }
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.stack}`));
  page.on("request", (request) => {
    if (new URL(request.url()).host !== http) complaints.push(`asks others: ${request.url()}`);
  });
  await page.goto(`http://${http}/`);
  return { page, complaints, state };
}

/** Waits until `what`, a function that runs in the page, returns true. */
export const until = (page, what, argument) =>
  page.waitForFunction(what, argument, { polling: 50, timeout: PATIENCE });

/** Chooses the system's colours, and waits until the page has them. */
export async function systemColours(page, colorScheme, options = {}) {
  await page.emulateMedia({ colorScheme, ...options });
  await until(page, (wanted) => document.documentElement.dataset.theme === wanted, colorScheme);
}

/** Returns the value of a figure, as text. */
export const figure = (page, name) => page.evaluate((wanted) =>
  [...document.querySelectorAll("#figures dl > div")]
    .find((tile) => tile.querySelector("dt").textContent === wanted)
    ?.querySelector("dd").textContent, name);
