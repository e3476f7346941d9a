// Measures the strip: `node smooth.mjs [PACKETS]`, with the program (a release build) in
// BETACREW_PROGRAM. Zooms and drags the strip of an exchange with ten million packets for ten
// seconds, and prints the times of frames and the number of requests. Not a test, because times
// depend on the machine.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browser, open, until } from "./pages.mjs";
import { start } from "./programs.mjs";

const packets = Number(process.argv[2] ?? 10_000_000);
const folder = mkdtempSync(join(tmpdir(), "dashboard-"));
const exchange = await start(["serve", "--tape", `random:${packets}`, "--drop", "0.02", "--listen",
  "127.0.0.1:0", "--http", "127.0.0.1:0"], folder);
const client = await start(["fetch", exchange.address, "--tape", "a.tape", "--http", "127.0.0.1:0",
  "-o", "a.tape"], folder).catch(() => null);
const chromium = await browser();
const { page, complaints } = await open(chromium, exchange.http);
await until(page, (least) => {
  const last = document.querySelector("#figures dd")?.textContent.replaceAll(",", "");
  const sent = document.querySelectorAll("#figures dd")[2]?.textContent.replaceAll(",", "");
  return Number(last) === least && Number(sent) >= least;
}, packets);

let asked = 0;
let bytes = 0;
page.on("response", async (response) => {
  if (!response.url().includes("/api/strip")) return;
  asked += 1;
  bytes += (await response.body().catch(() => "")).length;
});
await page.evaluate(() => {
  window.frames = [];
  let before = performance.now();
  const frame = (now) => {
    window.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
});
await page.locator(".plot").focus();
await page.keyboard.press("0");
const box = await page.locator(".plot").boundingBox();
const [x, y] = [box.x + box.width / 2, box.y + 60];
await page.mouse.move(x, y);
const end = Date.now() + 10_000;
for (let turn = 0; Date.now() < end; turn += 1) {
  for (let step = 0; step < 12; step += 1) await page.mouse.wheel(0, turn % 2 ? 200 : -200);
  await page.mouse.down();
  await page.mouse.move(x + 300 * (turn % 2 ? 1 : -1), y, { steps: 20 });
  await page.mouse.up();
  await page.mouse.move(x, y);
}
const frames = (await page.evaluate(() => window.frames)).sort((one, other) => one - other);
const share = (part) => `${frames[Math.floor(frames.length * part)].toFixed(1)} ms`;
console.log(`${packets} packets, ${frames.length} frames: half within ${share(0.5)}, ` +
  `99 % within ${share(0.99)}, longest ${share(0.99999)}; ` +
  `${asked} strips, ${Math.round(bytes / Math.max(1, asked) / 1000)} kB each`);
if (complaints.length) throw new Error(complaints.join("\n"));
await chromium.close();
await client?.stop();
await exchange.stop();
rmSync(folder, { recursive: true, force: true });
process.exit(0);
