// Processes of the program under test. They end with the test.

import { spawn } from "node:child_process";
import { connect } from "node:net";
import { createInterface } from "node:readline";

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Time limit of every wait, ms. */
export const PATIENCE = 20_000;

/** Reads a stream of the original protocol to its end. Returns the number of bytes. */
export async function streamOnce(address) {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address);
  const socket = connect({ host, port: Number(port) });
  socket.setTimeout(PATIENCE, () => socket.destroy(new Error(`${address}: silent`)));
  socket.write(Buffer.from([1, 0]));
  let bytes = 0;
  for await (const chunk of socket) bytes += chunk.length;
  return bytes;
}

/** Records one session of an exchange to its end. */
export async function fetchOnce(address, output, folder) {
  const [program, ...before] = process.env.BETACREW_PROGRAM.split("\n");
  const child = spawn(program, [...before, "fetch", address, "-o", output],
    { cwd: folder, stdio: "ignore", timeout: PATIENCE });
  running.add(child);
  const code = await new Promise((done) => child.once("exit", done));
  running.delete(child);
  if (code !== 0) throw new Error(`fetch of ${output}: ended, ${code}`);
}

/**
 * Starts `betacrew` and waits for the addresses that it announces. Returns `address` (of the feed,
 * if it has one), `http`, and `stop(signal)`.
 */
export async function start(args, folder) {
  const [program, ...before] = process.env.BETACREW_PROGRAM.split("\n");
  const child = spawn(program, [...before, ...args], { cwd: folder });
  running.add(child);
  let said = "";
  child.stderr.on("data", (data) => { said = (said + data).slice(-4000); });
  const ended = new Promise((done) => child.once("exit", (code) => {
    running.delete(child);
    done(code);
  }));
  const found = {};
  const ready = new Promise((done, failed) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [, what, where] = /^(listening|http) on (?:http:\/\/)?(\S+?)\/?$/.exec(line) ?? [];
      if (what) found[what] ??= where;
      if (found.http && (found.listening || args[0] !== "serve")) done();
    });
    ended.then((code) => failed(new Error(`betacrew ${args.join(" ")}: ended, ${code}\n${said}`)));
    setTimeout(() => failed(new Error(`betacrew ${args.join(" ")}: no addresses\n${said}`)),
      PATIENCE).unref();
  });
  await ready;
  return {
    address: found.listening,
    http: found.http,
    async stop(signal = "SIGINT") {
      child.kill(signal);
      return ended;
    },
  };
}
