#!/usr/bin/env node
"use strict";
// Runs the program with the arguments of this one, and ends as it ends.

const { spawn } = require("node:child_process");
const { program } = require("../lib/program.js");

let path;
try {
  path = program();
} catch (error) {
  console.error(`betacrew: ${error.message}`);
  process.exit(1);
}
const child = spawn(path, process.argv.slice(2), { stdio: "inherit" });
// A terminal sends these to both processes, and a second one would hurry the program.
const ignored = () => {};
process.on("SIGINT", ignored);
process.on("SIGHUP", ignored);
const forward = () => child.kill("SIGTERM");
process.on("SIGTERM", forward);
child.on("error", (error) => {
  console.error(`betacrew: cannot run ${path}: ${error.message}`);
  process.exit(1);
});
child.on("close", (code, signal) => {
  if (signal === null) process.exit(code);
  for (const name of ["SIGINT", "SIGHUP", "SIGTERM"]) process.removeAllListeners(name);
  process.kill(process.pid, signal);
});
