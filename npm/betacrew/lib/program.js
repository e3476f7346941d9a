"use strict";
// The program: where it is, and how it is run to its end.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

/** Failure of the program, with its message and its exit code. */
class BetacrewError extends Error {
  constructor(message, exitCode) {
    super(message);
    this.name = "BetacrewError";
    this.exitCode = exitCode;
  }
}

/**
 * Returns the path of the program: the file that BETACREW_BINARY names, or the one in the package
 * of this platform.
 */
function program() {
  const named = process.env.BETACREW_BINARY;
  if (named) {
    if (fs.existsSync(named)) return path.resolve(named);
    throw new BetacrewError(
      `BETACREW_BINARY names ${named}, where no file is: correct or unset it`,
    );
  }
  const platform = `betacrew-${process.platform}-${process.arch}`;
  try {
    return require.resolve(`${platform}/bin/betacrew`);
  } catch {
    throw new BetacrewError(
      `the package ${platform} is not installed. If there is one for this platform, install ` +
        "betacrew without --omit=optional; otherwise build the program from its sources, and " +
        "name it in BETACREW_BINARY",
    );
  }
}

/** Returns the error for a program that has failed. */
function failure(stderr, exitCode) {
  const text = stderr.trim().replace(/^betacrew: /, "");
  return new BetacrewError(text || `betacrew ended with ${exitCode}`, exitCode);
}

/** Runs the program to its end; returns its exit code, or the signal's name, and its output. */
function run(args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program(), args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const output = { stdout: [], stderr: [] };
    child.stdout.on("data", (part) => output.stdout.push(part));
    child.stderr.on("data", (part) => output.stderr.push(part));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const text = (parts) => Buffer.concat(parts).toString("utf8");
      const { stdout, stderr } = output;
      resolve({ code: code ?? signal, stdout: text(stdout), stderr: text(stderr) });
    });
  });
}

/** Runs the program, and returns what it prints if it succeeds. */
async function printed(args) {
  const { code, stdout, stderr } = await run(args);
  if (code !== 0) throw failure(stderr, code);
  return stdout;
}

/** Returns a path that the program does not take for a flag. */
function asPath(file) {
  return file.startsWith("-") ? `./${file}` : file;
}

module.exports = { BetacrewError, asPath, failure, printed, program, run };
