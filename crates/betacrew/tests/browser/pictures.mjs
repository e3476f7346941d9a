// Takes the pictures of the dashboard for docs: `node pictures.mjs FOLDER`, with the program in
// BETACREW_PROGRAM. A client with two lossy lines, in light; its exchange, in dark.

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { browser, open, until } from "./pages.mjs";
import { start } from "./programs.mjs";

const SIZE = { width: 1440, height: 900 };
/** Period that the charts show, ms. */
const STORY = 75_000;
const BAD_DAY = `about = "Bursts of drops, and slow resends"
[[fault]]
what = "drop"
chance = "0.05%"
burst = "1-20"
[[fault]]
what = "delay"
on = "resend"
time = "1ms-4ms"
`;

const docs = resolve(process.argv[2] ?? ".");
const folder = mkdtempSync(join(tmpdir(), "dashboard-"));
/** Two lines of one session that miss different packets. */
const serve = (seed) => start(["serve", "--live", "--pace", "20000/s", "--tape", "market:5",
  "--seed", seed, "--drop", "0", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], folder);
const [one, two] = [await serve("5"), await serve("6")];
const client = await start(["fetch", one.address, two.address, "--follow", "--tape", "a.tape",
  "--http", "127.0.0.1:0"], folder);
const post = (http, path, body) => fetch(`http://${http}/api/${path}`, { method: "POST",
  headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
for (const { http } of [one, two]) await post(http, "faults", { toml: BAD_DAY });

const chromium = await browser();
const seller = await open(chromium, one.http, { viewport: SIZE, colorScheme: "dark" });
const buyer = await open(chromium, client.http, { viewport: SIZE, colorScheme: "light" });
const pause = (share) => new Promise((later) => setTimeout(later, STORY * share));
await pause(0.3);
// Both lines miss the same packets once.
await Promise.all([one, two].map(({ http }) => post(http, "drop", { next: 600 })));
await pause(0.3);
await post(two.http, "cut", { all: true });
await pause(0.3);
await Promise.all([post(two.http, "drop", { next: 400 }),
  seller.page.locator("#drop-next").fill("400").then(() =>
    seller.page.locator("[data-do=drop-next]").click())]);
await pause(0.1);
for (const [name, { page, complaints }] of [["dark", seller], ["light", buyer]]) {
  if (complaints.length) throw new Error(complaints.join("\n"));
  await until(page, () => document.querySelector("#link").dataset.is === "connected");
  const path = join(docs, `dashboard-${name}.png`);
  await page.bringToFront();
  await page.locator("body").screenshot({ path });
  console.log(`${path}: ${Math.round(statSync(path).size / 1000)} kB`);
}
await chromium.close();
await Promise.all([client.stop(), one.stop(), two.stop()]);
rmSync(folder, { recursive: true, force: true });
process.exit(0);
