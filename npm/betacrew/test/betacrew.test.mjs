import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { BetacrewError, exchange, grade, program, scenarios } from "betacrew";

const here = path.dirname(new URL(import.meta.url).pathname);
const launcher = path.join(here, "../bin/betacrew.js");
const folder = mkdtempSync(path.join(os.tmpdir(), "betacrew-test-"));
cpSync(path.join(here, "../../../examples/clients"), folder, { recursive: true });
after(() => rmSync(folder, { recursive: true }));

/** Requests the stream as a client of the exercise does, and resolves with its sequences. */
async function stream({ host, port }) {
  const socket = net.connect(port, host);
  socket.setTimeout(10000, () => socket.destroy(new Error("no answer")));
  socket.write(Buffer.from([1, 0]));
  const parts = [];
  for await (const part of socket) parts.push(part);
  const bytes = Buffer.concat(parts);
  return Array.from({ length: bytes.length / 17 }, (_, at) => bytes.readUInt32BE(17 * at + 13));
}

const upTo = (last) => Array.from({ length: last }, (_, at) => at + 1);

test("an exchange plays, counts and ends", async () => {
  const running = await exchange({ tape: "classic", skip: "2-3,11", seed: 5, soup: true });
  assert.deepEqual(await stream(running), [1, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14]);
  assert.deepEqual(await running.dropped(), [2, 3, 11]);
  assert.deepEqual(await running.resent(), []);
  const counters = { streamed: 11, resent: 0, dropped: 3, resendsDropped: 0, connections: 1 };
  assert.deepEqual(await running.counters(), counters);
  assert.deepEqual(Object.keys(running.ports).sort(), ["betacrew", "soup"]);
  const packets = await running.packets();
  assert.deepEqual(packets.map(({ sequence }) => sequence), upTo(14));
  const first = { symbol: "AAPL", buySellIndicator: "B", quantity: 50, price: 100, sequence: 1 };
  assert.deepEqual(packets[0], first);
  assert.equal(running.command, "betacrew serve --tape classic --skip 2-3,11 --seed 5");
  await running.close();
  await running.close();
  assert.ok(running.log.some((line) => line.includes("dropping 2-3, 11")), running.log.join("\n"));
  await assert.rejects(stream(running), /ECONNREFUSED/);
  await assert.rejects(running.state(), /has ended/);
});

test("an exchange has a port for each protocol", async () => {
  const receiver = dgram.createSocket("udp4").bind(0, "127.0.0.1");
  await once(receiver, "listening");
  const { port } = receiver.address();
  const listen = [`mold://127.0.0.1:${port}?request=127.0.0.1:0`];
  const running = await exchange({ tape: "classic", listen });
  try {
    assert.equal(running.ports.mold, port);
    assert.deepEqual(Object.keys(running.ports).sort(), ["betacrew", "mold"]);
  } finally {
    await running.close();
    receiver.close();
  }
});

test("an exchange plays messages that are no order packets", async () => {
  const running = await exchange({ tape: "itch:100", betacrew: false, soup: true, seed: 1 });
  try {
    assert.deepEqual(running.ports, { soup: running.port });
    assert.equal((await running.state()).tape, "itch:100");
    const command = "betacrew serve --listen soup://127.0.0.1:0 --tape itch:100 --seed 1";
    assert.equal(running.command, command);
  } finally {
    await running.close();
  }
  await assert.rejects(exchange({ betacrew: false }), /needs another listener/);
});

test("a token of the environment does not lock the exchange", async () => {
  process.env.BETACREW_HTTP_TOKEN = "long enough";
  const running = await exchange({ tape: "classic", scenario: "clean" });
  delete process.env.BETACREW_HTTP_TOKEN;
  try {
    await running.control.drop(2);
  } finally {
    await running.close();
  }
});

test("an exchange is controlled", async () => {
  const running = await exchange({ tape: "classic", scenario: "clean" });
  try {
    await running.control.drop(2);
    assert.deepEqual(await stream(running), upTo(14).slice(2));
    await running.control.scenario("one-gap");
    assert.ok(!(await stream(running)).includes(5));
    await running.control.scenario('[[fault]]\nwhat = "drop"\nsequences = 7\n');
    assert.ok(!(await stream(running)).includes(7));
    await running.control.dropRate(1);
    assert.deepEqual(await stream(running), [14]);
    await running.control.clear();
    assert.deepEqual(await stream(running), upTo(14));
    await assert.rejects(running.control.scenario("x"), /no built-in scenario/);
  } finally {
    await running.close();
  }
});

test("a scenario may be text or a file, and its folder is removed", async () => {
  const text = 'tape = "classic"\n[[fault]]\nwhat = "drop"\nsequences = 4\n';
  const file = path.join(folder, "mine.toml");
  writeFileSync(file, text);
  for (const scenario of [text, file]) {
    const running = await exchange({ scenario });
    const copy = running._folder;
    assert.ok(!(await stream(running)).includes(4));
    await running.close();
    assert.equal(copy !== undefined && existsSync(copy), false);
  }
});

test("what cannot start says why", async () => {
  await assert.rejects(exchange({ scenario: "brust" }), (error) => {
    assert.ok(error instanceof BetacrewError && error.exitCode === 2);
    return /did you mean `burst`/.test(error.message);
  });
  await assert.rejects(exchange({ args: ["--no-such-flag"] }), /unexpected argument/);
});

test("a forgotten exchange neither keeps its process alive nor outlives it", async () => {
  const script = `import { exchange } from "betacrew";
    console.log((await exchange({ tape: "classic" })).port);`;
  const options = { cwd: here, timeout: 30000 };
  const args = ["--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args, options);
  // Its process has been killed; the system may take a moment to close its port.
  for (let tries = 0; ; tries += 1) {
    const gone = await stream({ host: "127.0.0.1", port: Number(stdout) }).then(() => false, () => true);
    if (gone) break;
    assert.ok(tries < 1000, "it still answers");
  }
});

test("good clients get an A, naive ones a cause", async () => {
  const cases = ["gaps/one", "framing/half-packet"];
  const html = path.join(folder, "page.html");
  const good = await grade(["node", "client.js", "{host}", "{port}"], { cases, cwd: folder, html });
  assert.equal(good.grade, "A");
  assert.ok(good.passed && good.failures.length === 0);
  assert.match(readFileSync(html, "utf8"), /^<!doctype html>/);
  const naive = ["node", "naive.js"];
  const bad = await grade(naive, { cases, cwd: folder, port: "any", timeout: 5000, seed: 2 });
  assert.ok(!bad.passed && bad.seed === 2);
  const failed = bad.failures.find(({ id }) => id === "framing/half-packet");
  assert.equal(failed.run.cause.id, "crash-in-packet");
  await assert.rejects(grade(["true"], { cases: ["no-such-case"] }), /no-such-case/);
});

test("scenarios are listed", async () => {
  const listed = await scenarios();
  assert.ok(listed.length > 60);
  assert.deepEqual(listed.find(({ name }) => name === "one-gap").protocols, ["betacrew", "mold"]);
});

test("CommonJS has the same names", () => {
  const required = createRequire(import.meta.url)("betacrew");
  assert.equal(required.exchange, exchange);
  assert.equal(required.program(), program());
});

test("the launcher passes arguments, exit codes and the end on", async () => {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [launcher, "version"]);
  assert.match(stdout, /^betacrew \d/);
  await assert.rejects(run(process.execPath, [launcher, "no-such-command"]), { code: 2 });
  const env = { ...process.env, BETACREW_BINARY: "/no/such/file" };
  await assert.rejects(run(process.execPath, [launcher], { env }), /\/no\/such\/file/);
  const args = [launcher, "serve", "--listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = await once(child.stdout, "data");
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
  const port = Number(/:(\d+)\n/.exec(line)[1]);
  await assert.rejects(stream({ host: "127.0.0.1", port }), /ECONNREFUSED/);
});
