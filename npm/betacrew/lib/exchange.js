"use strict";
// An exchange beside a test: a process that is started, controlled over HTTP, and ended.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { BetacrewError, asPath, failure, printed, program } = require("./program.js");

const HOST = "127.0.0.1";
/** Time that an exchange has to end by itself, in milliseconds. */
const END_PATIENCE = 5000;
/** Time that an HTTP answer may take, in milliseconds. */
const ANSWER_PATIENCE = 10000;
/** Maximum number of sequences in one answer about the strip. */
const CELLS_MAX = 4000;

/** Exchanges that run. They end with this process, whatever becomes of the test. */
const running = new Set();
process.on("exit", () => running.forEach((exchange) => exchange._kill()));

/** Commands to a running exchange. Each has been carried out when its promise resolves. */
class Control {
  constructor(exchange) {
    this._exchange = exchange;
  }

  drop(count) {
    return this._post("drop", { next: count });
  }

  dropRate(share) {
    return this._post("faults", { drop: share });
  }

  scenario(scenario) {
    return this._post("faults", { [scenario.includes("\n") ? "toml" : "scenario"]: scenario });
  }

  clear() {
    return this._post("faults", { clear: true });
  }

  pause() {
    return this._post("pause", {});
  }

  resume() {
    return this._post("resume", {});
  }

  cut({ reset = false } = {}) {
    return this._post("cut", { all: true, how: reset ? "reset" : "close" });
  }

  async _post(command, body) {
    return (await this._exchange._request(`/api/${command}`, body)).done;
  }
}

/** Returns a word as a shell takes it. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

class Exchange {
  constructor(options) {
    this.host = HOST;
    this.ports = {};
    this.log = [];
    this.seed = options.seed;
    this.control = new Control(this);
    this._options = options;
    this._folder = undefined;
    this._ended = undefined;
  }

  get port() {
    return this.ports.betacrew ?? Object.values(this.ports)[0];
  }

  get address() {
    return `${this.host}:${this.port}`;
  }

  /** Returns the flags that say what is played, without the seed. */
  _flags() {
    const { tape, drop, skip, pace, live = false } = this._options;
    const values = Object.entries({ tape, drop, skip, pace });
    const given = values.filter(([, value]) => value !== undefined);
    return [...given.map(([name, value]) => [`--${name}`, String(value)]), ...(live ? [["--live"]] : [])];
  }

  get command() {
    const { betacrew = true, scenario, args = [] } = this._options;
    const words = ["betacrew", "serve"];
    if (!betacrew) words.push(...this._listen().flatMap((address) => ["--listen", address]));
    if (scenario !== undefined) words.push("--scenario", scenario.includes("\n") ? "FILE" : scenario);
    words.push(...this._flags().flat(), ...args, "--seed", String(this.seed));
    return words.map(quoted).join(" ");
  }

  /** Returns the addresses to listen on. */
  _listen() {
    const { betacrew = true, soup = false, listen = [] } = this._options;
    const own = [...(betacrew ? [`${HOST}:0`] : []), ...(soup ? [`soup://${HOST}:0`] : [])];
    const addresses = [...own, ...listen];
    if (addresses.length > 0) return addresses;
    throw new BetacrewError("betacrew: false needs another listener: soup: true, or listen: [...]");
  }

  _args() {
    const { scenario, seed, args = [] } = this._options;
    const addresses = this._listen();
    const all = ["serve", `--http=${HOST}:0`, ...addresses.map((address) => `--listen=${address}`)];
    all.push(...this._flags().map((flag) => flag.join("=")));
    if (seed !== undefined) all.push(`--seed=${seed}`);
    if (scenario?.includes("\n")) {
      this._folder = fs.mkdtempSync(path.join(os.tmpdir(), "betacrew-"));
      const file = path.join(this._folder, "scenario.toml");
      fs.writeFileSync(file, scenario);
      all.push(`--scenario=${file}`);
    } else if (scenario !== undefined) {
      all.push(`--scenario=${asPath(scenario)}`);
    }
    return [...all, ...args];
  }

  async _start() {
    const limit = this._options.startTimeout ?? 10000;
    // Commands are sent without a token. Only this machine can send them.
    const { BETACREW_HTTP_TOKEN: _, ...env } = process.env;
    const child = spawn(program(), this._args(), { env, stdio: ["ignore", "pipe", "pipe"] });
    this._child = child;
    this._ended = new Promise((resolve) => {
      child.once("error", (error) => resolve({ error }));
      child.once("close", (code) => resolve({ code }));
    });
    running.add(this);
    const timeout = new Promise((resolve) => {
      this._timer = setTimeout(resolve, limit, { error: new BetacrewError(
        `the exchange does not listen after ${limit} ms`,
      ) });
    });
    const listens = new Promise((resolve) => lines(child.stdout, (line) => {
      if (line.startsWith("listening on ")) this._takeAddress(line.slice("listening on ".length));
      // The line about HTTP is the last one.
      if (line.startsWith("http on ")) {
        this.http = `http://${line.slice("http on ".length)}`;
        resolve({});
      }
    }));
    lines(child.stderr, (line) => this.log.push(line));
    const first = await Promise.race([listens, this._ended, timeout]);
    clearTimeout(this._timer);
    if (this.http === undefined) {
      this._kill();
      throw first.error ?? failure(this.log.join("\n"), first.code);
    }
    // A forgotten exchange does not keep the process of the test alive.
    for (const handle of [child, child.stdout, child.stderr]) handle.unref?.();
    this.seed = (await this.state()).faults.seed;
    return this;
  }

  _takeAddress(address) {
    // A request server's address may follow behind a question mark.
    const { groups } = /^(?:(?<protocol>\w+):\/\/)?[^?]*:(?<port>\d+)(?:\?.*)?$/.exec(address);
    this.ports[groups.protocol ?? "betacrew"] ??= Number(groups.port);
  }

  _kill() {
    running.delete(this);
    this._child.kill("SIGKILL");
    this._clean();
  }

  _clean() {
    if (this._folder !== undefined) fs.rmSync(this._folder, { recursive: true, force: true });
  }

  async close() {
    if (running.delete(this)) {
      this._child.ref();
      this._child.kill();
      const timer = setTimeout(() => this._child.kill("SIGKILL"), END_PATIENCE);
      await this._ended;
      clearTimeout(timer);
      this._clean();
    }
  }

  state() {
    return this._request("/api/state");
  }

  async counters() {
    const { counters } = await this.state();
    const { streamed, resent, dropped, resends_dropped: resendsDropped, connections } = counters;
    return { streamed, resent, dropped, resendsDropped, connections };
  }

  async dropped() {
    return (await this._strip()).filter(({ counts }) => counts[2] > 0).map(({ seq }) => seq);
  }

  async resent() {
    return (await this._strip()).filter(({ counts }) => counts[1] > 0).map(({ seq }) => seq);
  }

  async packets() {
    const tape = this._options.tape ?? (await this.state()).tape;
    // Another exchange plays the same tape without faults, so this one counts nothing.
    const clean = await exchange({ tape, scenario: "clean", seed: this.seed });
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "betacrew-"));
    try {
      const file = path.join(folder, "packets.tape");
      const args = ["fetch", "-q", "--output=-", "--format=json", `--tape=${file}`, clean.address];
      return JSON.parse(await printed(args));
    } finally {
      await clean.close();
      fs.rmSync(folder, { recursive: true, force: true });
    }
  }

  async _strip() {
    const { last } = (await this.state()).session;
    const found = [];
    for (let first = 1; first <= last; first += CELLS_MAX) {
      const query = `from=${first}&to=${first + CELLS_MAX - 1}&cells=${CELLS_MAX}`;
      const { exact, cells } = await this._request(`/api/strip?${query}`);
      if (exact !== 1) {
        throw new BetacrewError(
          "the tape is too long: its packets are counted in blocks, not one by one",
        );
      }
      cells.forEach((counts, at) => found.push({ seq: first + at, counts }));
    }
    return found;
  }

  async _request(place, body) {
    if (!running.has(this)) throw new BetacrewError("the exchange has ended");
    const answer = await fetch(this.http + place, {
      ...(body && { method: "POST", body: JSON.stringify(body) }),
      headers: { "content-type": "application/json" },
      signal: AbortSignal.timeout(ANSWER_PATIENCE),
    });
    const told = await answer.json();
    if (!answer.ok) {
      throw new BetacrewError(
        told.error + (told.allowed ? `; allowed: ${told.allowed}` : ""), 2,
      );
    }
    return told;
  }
}

/** Calls a function with each line of a stream. */
function lines(stream, each) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    parts.forEach(each);
  });
}

/** Starts an exchange on free ports; resolves once it listens. */
function exchange(options = {}) {
  return new Exchange(options)._start();
}

module.exports = { exchange };
