"use strict";
// The grader, with its report as an object.

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { asPath, failure, printed, run } = require("./program.js");

/** Exit code of `betacrew grade` if a must did not pass. */
const FAILED = 10;

/** Grades a client's command, and resolves with the report; see index.d.ts. */
async function grade(command, options = {}) {
  const { cases = [], cwd, strict = false, timeout, output, html, junit } = options;
  const { port, workdir, jobs, repeat, seed } = options;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "betacrew-"));
  try {
    const report = path.join(folder, "report.json");
    const values = {
      json: report,
      timeout: timeout === undefined ? undefined : `${Math.max(Math.round(timeout), 1)}ms`,
      output: output === undefined || output === "-" ? output : asPath(output),
      html: html === undefined ? undefined : path.resolve(html),
      junit: junit === undefined ? undefined : path.resolve(junit),
      port, workdir, jobs, repeat, seed,
    };
    const flags = Object.entries(values).filter(([, value]) => value !== undefined);
    const args = ["grade", ...flags.map(([name, value]) => `--${name}=${value}`)];
    if (strict) args.push("--strict");
    const { code, stderr } = await run([...args, ...cases, "--", ...command], { cwd });
    if (code !== 0 && code !== FAILED) throw failure(stderr, code);
    const read = JSON.parse(fs.readFileSync(report, "utf8"));
    const failures = read.cases.filter((one) => one.verdict !== "pass");
    return { ...read, passed: read.must.passed === read.must.of, failures };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Resolves with the built-in scenarios. */
async function scenarios() {
  return JSON.parse(await printed(["scenarios", "--json"]));
}

module.exports = { grade, scenarios };
