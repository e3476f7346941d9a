// The dashboard of an exchange and of a client that follows it, in a headless browser.
//
// `node dashboard.mjs check` tests whether a browser starts; `node dashboard.mjs` runs the tests.
// BETACREW_PROGRAM is the program.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { everywhere } from "./layout.mjs";
import { browser, figure, open, systemColours, until } from "./pages.mjs";
import { fetchOnce, start, streamOnce } from "./programs.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const chromium = await browser();
if (process.argv[2] === "check") {
  await chromium.close();
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), "dashboard-"));
const SERVE = ["serve", "--live", "--pace", "2000/s", "--tape", "market:5", "--seed", "5",
  "--drop", "0"];
/** Delays each resend by 30 ms, so that a gap is visible before it is filled. */
const LATE = 'about = "late"\n[[fault]]\nwhat = "delay"\non = "resend"\ntime = "30ms"\n';

let exchange = await start([...SERVE, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], folder);
const client = await start(["fetch", exchange.address, "--follow", "--tape", "a.tape",
  "--http", "127.0.0.1:0"], folder);
const seller = await open(chromium, exchange.http);
const buyer = await open(chromium, client.http);
const pages = [["exchange", seller], ["client", buyer]];

async function step(name, run) {
  const began = Date.now();
  try {
    await run();
    for (const [role, { complaints }] of pages) assert.deepEqual(complaints, [], role);
  } catch (error) {
    for (const [role, { page }] of pages) {
      const path = join(tmpdir(), `dashboard-failed-${role}.png`);
      await page.screenshot({ path }).catch(() => {});
    }
    console.error(`${name}: failed; see dashboard-failed-*.png in ${tmpdir()}`);
    throw error;
  }
  console.log(`${name}: ${Date.now() - began} ms`);
}

const answered = (is) => until(seller.page, (wanted) =>
  document.querySelector(".answer").dataset.is === wanted, is);
const toml = async (text) => {
  await seller.page.locator("#controls details").evaluate((details) => { details.open = true; });
  await seller.page.locator("#toml").fill(text);
  await seller.page.locator("[data-do=toml]").click();
};
const number = (text) => Number(text.replaceAll(",", ""));
/** Waits until the badge shows this state of the feed while the page is connected. */
const feed = (page, is, words) => until(page, ([state, pattern]) =>
  document.querySelector("#feed").dataset.is === state &&
  new RegExp(pattern).test(document.querySelector("#feed").textContent) &&
  document.querySelector("#link").textContent === "Page connected", [is, words.source]);
const happened = (page, words) => until(page, (pattern) =>
  new RegExp(pattern).test(document.querySelector("#events ol").textContent), words.source);
/** Converts a time such as 14:03:27 to seconds of the day. */
const seconds = (text) => text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
const DAY = 86_400;

await step("both pages load and update", async () => {
  for (const [role, { page }] of pages) {
    await until(page, () => document.querySelector("#link").dataset.is === "connected");
    assert.equal(await page.locator("#role").textContent(), role);
    const name = role === "client" ? "Complete up to" : "Last sequence";
    await until(page, () => document.querySelector("#book .best tbody tr")
      && document.querySelector("#book .depth tbody tr"));
    await until(page, () => document.querySelector("#strip-says").textContent.includes("a cell")
      || /: (sent|received) [1-9]/.test(document.querySelector("#strip-says").textContent));
    const before = number(await figure(page, name));
    await until(page, ([wanted, least]) => [...document.querySelectorAll("#figures dt")]
      .some((dt) => dt.textContent === wanted &&
        Number(dt.nextSibling.textContent.replaceAll(",", "")) > least), [name, before]);
    await until(page, () => document.querySelectorAll("#rates canvas").length === 3);
    // The strip is not blank.
    assert.ok(await page.evaluate(() => {
      const canvas = document.querySelector("#strip .marks");
      const { data } = canvas.getContext("2d").getImageData(0, canvas.height / 2 | 0,
        canvas.width, 1);
      return data.some((value) => value > 0);
    }), "the strip is empty");
  }
  assert.equal(await buyer.page.locator("#controls").isVisible(), false);
  assert.equal(await seller.page.locator("#controls").isVisible(), true);
});

await step("an invalid scenario is refused with a message", async () => {
  seller.state.failing = ["/api/faults"];
  await toml('[[fault]]\nwhat = "explode"\n');
  await answered("refused");
  seller.state.failing = [];
  assert.match(await seller.page.locator(".answer").textContent(), /explode/);
});

await step("packets dropped by command are a gap of the client, and then recovered", async () => {
  await toml(LATE);
  await answered("done");
  await seller.page.locator("#drop-next").fill("50");
  await seller.page.locator("[data-do=drop-next]").click();
  await answered("done");
  const row = (is) => (wanted) => [...document.querySelectorAll("#gaps tbody tr")]
    .some((line) => line.cells[2].textContent === "50" && wanted.includes(line.dataset.is));
  await until(buyer.page, row(), ["open", "requested"]);
  assert.notEqual(await figure(buyer.page, "Missing"), "0");
  await until(buyer.page, () =>
    /(missing|in flight) \d/.test(document.querySelector("#strip-says").textContent));
  await until(buyer.page, row(), ["filled"]);
  await until(buyer.page, () => [...document.querySelectorAll("#gaps tbody tr")]
    .some(({ cells }) => cells[2].textContent === "50"
      && cells[7].textContent === "missed on line 1"
      && /^requested after .*filled after/.test(cells[4].firstChild.title)));
  await until(buyer.page, () =>
    /recovered 50\b/.test(document.querySelector("#strip-says").textContent));
  // The exchange counts in blocks of sequences, so its number is about 50.
  await until(seller.page, () =>
    /dropped \d/.test(document.querySelector("#strip-says").textContent));
  await until(seller.page, () => /50/.test(document.querySelector("#events ol").textContent));
});

await step("faults are changed and removed", async () => {
  const { page } = seller;
  await page.locator("[data-do=clear]").click();
  await answered("done");
  await page.locator("#scenario").selectOption("quarter");
  await page.locator("[data-do=scenario]").click();
  await until(page, () => /quarter/.test(document.querySelector("#controls .note").textContent));
  await page.locator("#drop").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await until(page, () => /0\.5/.test(document.querySelector(".rules").textContent));
  await page.locator("[data-do=pause]").click();
  await until(page, () => /paused/.test(document.querySelector("#figures").textContent));
  await page.locator("[data-do=resume]").click();
  await until(page, () => !/paused/.test(document.querySelector("#figures").textContent));
  await page.locator("[data-do=clear]").click();
  await until(page, () => /every packet/.test(document.querySelector(".rules").textContent));
});

await step("connections are stalled and cut", async () => {
  const { page } = seller;
  const subscriber = page.locator("#connections tbody tr", { hasText: "subscriber" });
  await subscriber.first().locator("[data-do=stall]").click();
  await answered("done");
  await page.locator("#controls [data-do=cut]").click();
  await until(buyer.page, () => [...document.querySelectorAll("#figures dt")].some((dt) =>
    dt.textContent === "Subscriptions ended" && dt.nextSibling.textContent !== "0"));
  await subscriber.first().waitFor();
});

await step("the state of the feed is separate from the page's connection", async () => {
  await feed(seller.page, "playing", /^Playing/);
  await feed(buyer.page, "following", /^Following/);
  await seller.page.locator("[data-do=pause]").click();
  await feed(seller.page, "paused", /^Paused since [0-9:]{8}$/);
  await feed(buyer.page, "silent", /^Silent for \d/);
  await seller.page.locator("[data-do=resume]").click();
  await feed(buyer.page, "following", /^Following/);
  await happened(buyer.page, /: silent.*|data again after about/);
});

await step("a stall shows in the chart and as an event", async () => {
  const { page } = seller;
  await page.locator("#stall").fill("2500");
  await page.locator("#controls [data-do=stall]").click();
  await feed(page, "stalled", /^Stalled for \d/);
  const label = (pattern) => until(page, (wanted) => new RegExp(wanted).test(
    document.querySelector("#rates .chart").getAttribute("aria-label")), pattern.source);
  await label(/sent 0\/s$/);
  await feed(page, "playing", /^Playing/);
  await label(/sent [1-9]/);
  await happened(page, /sending again after about.*every stream is stalled/);
  await happened(buyer.page, /data again after about/);
});

await step("charts survive a reload, and events are marked", async () => {
  for (const [role, { page }] of pages) {
    const label = () => page.locator("#rates .chart").first().getAttribute("aria-label");
    const from = async () => seconds(/since ([0-9:]+)/.exec(await label())[1]);
    const before = await from();
    await page.reload();
    await until(page, (then) => {
      const text = document.querySelector("#rates .chart")?.getAttribute("aria-label");
      const from = /since ([0-9:]+)/.exec(text ?? "")?.[1];
      if (!from) return false;
      const began = from.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
      const away = Math.abs(began - then);
      return Math.min(away, 86400 - away) <= 3;
    }, before);
    assert.ok((seconds(new Date().toTimeString().slice(0, 8)) - before + DAY) % DAY > 3, role);
  }
  // One of the markers in the chart of drops is the command above.
  const { page } = seller;
  const over = page.locator("#rates .chart .u-over").nth(1);
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  let told = "";
  for (let x = 1; x < box.width && !/next 50 packets are dropped/.test(told); x += 4) {
    await page.mouse.move(box.x + x, box.y + 40);
    const said = page.locator("#rates .tip").nth(1);
    told = await said.isVisible() ? await said.textContent() : "";
  }
  assert.match(told, /^[0-9:]{8}, .* after the start\n/);
  assert.match(told, /next 50 packets are dropped/);
  await page.mouse.move(0, 0);
});

await step("the strip's keys work without a click first", async () => {
  for (const [, { page }] of pages) {
    assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
    await page.keyboard.press("0");
    await until(page, () => /^1–/.test(document.querySelector("#strip-says").textContent));
    await page.keyboard.press("+");
    await until(page, () => !/^1–/.test(document.querySelector("#strip-says").textContent));
    await page.keyboard.press("f");
    await until(page, () =>
      document.querySelector("[data-do=follow]").getAttribute("aria-pressed") === "false");
    await page.keyboard.press("f");
  }
  // In a field the same keys type characters.
  const field = seller.page.locator("#drop-next");
  await field.fill("");
  await field.pressSequentially("10");
  assert.equal(await field.inputValue(), "10");
  await field.blur();
});

await step("a drop rate of 25 % is shown as 25 %, also after a later stream", async () => {
  const whole = await start(["serve", "--tape", "random:2000", "--drop", "25%", "--seed", "7",
    "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"], folder);
  const shop = await open(chromium, whole.http);
  const all = /^1–2,000.*: sent ([\d,]+) · dropped ([\d,]+) \((\d+) %\)(?: · resent ([\d,]+))?$/;
  /** Waits until the page shows the program's counts; returns sent, resent, dropped, percent. */
  const shown = async () => {
    const answer = await fetch(`http://${whole.http}/api/strip?cells=1`);
    const [sent, resent, dropped] = (await answer.json()).cells[0];
    const said = await until(shop.page, ([pattern, ...counted]) => {
      const said = new RegExp(pattern).exec(document.querySelector("#strip-says").textContent);
      const numbers = said?.slice(1).map((text) => Number((text ?? "0").replaceAll(",", "")));
      return numbers && [0, 1, 3].every((at, index) => numbers[at] === counted[index]) && numbers;
    }, [all.source, sent, dropped, resent]);
    return [sent, resent, dropped, (await said.jsonValue())[2]];
  };
  // Show the whole session, not only its end.
  await until(shop.page, () => /2,000/.test(document.querySelector("#strip-says").textContent));
  await shop.page.keyboard.press("0");
  await streamOnce(whole.address);
  const [sent, , dropped, percent] = await shown();
  assert.deepEqual([sent + dropped, percent], [2000, Math.round((100 * dropped) / 2000)]);
  assert.ok(percent >= 23 && percent <= 27, `${percent} %`);
  // Resends do not change the share of drops.
  await fetchOnce(whole.address, "all.json", folder);
  const [more, resent, droppedInAll, share] = await shown();
  assert.ok(resent > 400 && share >= 23 && share <= 27, `${resent} resent, ${share} %`);
  await shop.page.locator("[data-do=clear]").click();
  await until(shop.page, () => document.querySelector(".answer").dataset.is === "done");
  assert.equal(await streamOnce(whole.address), 2000 * 17);
  assert.deepEqual((await shown()).slice(0, 3), [more + 2000, resent, droppedInAll]);
  assert.deepEqual(shop.complaints, []);
  await shop.page.close();
  await whole.stop();
});

await step("the strip follows keys, wheel and mouse", async () => {
  const { page } = buyer;
  const says = () => page.locator("#strip-says").textContent();
  const pressed = (wanted) => until(page, (is) =>
    document.querySelector("[data-do=follow]").getAttribute("aria-pressed") === is, wanted);
  await page.locator(".plot").focus();
  await page.keyboard.press("0");
  await until(page, () => document.querySelector("#strip-says").textContent.startsWith("1–"));
  await page.keyboard.press("[");
  await pressed("false");
  const before = await says();
  await page.keyboard.press("+");
  await until(page, (then) => document.querySelector("#strip-says").textContent !== then, before);
  await page.keyboard.press("End");
  await pressed("true");
  const box = await page.locator(".plot").boundingBox();
  await page.mouse.move(box.x + 300, box.y + 60);
  await until(page, () => /received \d/.test(document.querySelector(".tip").textContent));
  await page.mouse.wheel(0, -600);
  await page.mouse.down();
  await page.mouse.move(box.x + 500, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await pressed("false");
  await page.keyboard.press("f");
  await pressed("true");
});

await step("the layout fits in both colours and at seven widths", async () => {
  for (const [role, { page }] of pages) assert.deepEqual(await everywhere(page), [], role);
});

await step("the page passes the accessibility checks in both colours", async () => {
  for (const [role, { page }] of pages) {
    // The page's policy forbids foreign scripts, but the debugger may run them.
    await page.evaluate(axe);
    for (const [colorScheme, width] of [["light", 1440], ["dark", 360]]) {
      await page.setViewportSize({ width, height: 900 });
      await systemColours(page, colorScheme, { reducedMotion: "reduce" });
      const { violations } = await page.evaluate(() => window.axe.run(document, {
        resultTypes: ["violations"],
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
      const found = violations.map(({ id, help, nodes }) =>
        `${id}: ${help}: ${nodes.slice(0, 3).map(({ target }) => target).join(" ")}`);
      assert.deepEqual(found, [], `${role}, ${colorScheme}, ${width}`);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await systemColours(page, "light");
    const light = await paper();
    await systemColours(page, "dark");
    assert.notEqual(await paper(), light);
    await page.locator("#theme").click();
    assert.equal(await paper(), light, "chosen light");
    const moving = await page.evaluate(() => document.getAnimations().length);
    assert.equal(moving, 0, "an animation runs despite prefers-reduced-motion");
  }
});

await step("the page asks for a token and uses it", async () => {
  const kept = await start([...SERVE, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
    "--http-token", "let me in"], folder);
  const third = await open(chromium, kept.http);
  third.state.failing = ["/api/"];
  const { page } = third;
  const dialog = page.locator("#token");
  for (const word of ["wrong", "let me in"]) {
    if (word === "wrong") await page.locator("[data-do=pause]").click();
    else await page.locator("#token .wrong").waitFor();
    await dialog.waitFor();
    await page.locator("#token-text").fill(word);
    await page.keyboard.press("Enter");
  }
  await until(page, () => /paused/.test(document.querySelector("#figures").textContent));
  await page.locator("[data-do=resume]").click();
  await until(page, () => !/paused/.test(document.querySelector("#figures").textContent));
  assert.equal(await dialog.isVisible(), false);
  assert.deepEqual(third.complaints, []);
  await page.close();
  await kept.stop();
});

await step("the page reports a lost connection and reconnects", async () => {
  seller.state.failing = ["/api"];
  await exchange.stop("SIGKILL");
  await until(seller.page, () => document.querySelector("#link").dataset.is === "disconnected");
  assert.match(await seller.page.locator("#banner").textContent(), /does not answer/);
  assert.match(await seller.page.locator("#link").textContent(), /disconnected, retrying/);
  await feed(buyer.page, "unreachable", /^Exchange unreachable since [0-9:]{8}$/);
  await until(buyer.page, () => /unreachable since [0-9:]{8}/.test(
    document.querySelector("#lines tbody").textContent));
  await happened(buyer.page, /cannot be reached/);
  exchange = await start([...SERVE, "--listen", "127.0.0.1:0", "--http", exchange.http], folder);
  await until(seller.page, () => document.querySelector("#link").dataset.is === "connected");
  assert.match(await seller.page.locator("#banner").textContent(), /restarted/);
});

await chromium.close();
await Promise.all([exchange.stop(), client.stop()]);
rmSync(folder, { recursive: true, force: true });
process.exit(0);
