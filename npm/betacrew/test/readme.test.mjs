// README.md: its examples run, as one module.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const here = path.dirname(new URL(import.meta.url).pathname);
const readme = readFileSync(path.join(here, "../README.md"), "utf8");
const blocks = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

const CLIENT = `import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { program } from "betacrew";
async function myClient(host, port) {
  const args = ["fetch", host + ":" + port, "-q", "-o-", "--format=json"];
  const { stdout } = await promisify(execFile)(program(), args);
  return JSON.parse(stdout);
}
`;

test("the examples of the README run", async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "betacrew-readme-"));
  try {
    assert.equal(blocks.length, 3);
    cpSync(path.join(here, "../../../examples/clients/client.js"), path.join(folder, "client.js"));
    symlinkSync(path.join(here, "../.."), path.join(folder, "node_modules"));
    // A whole group of cases takes a while: one of it is enough here.
    const code = CLIENT + blocks.join("\n").replace('["gaps"]', '["gaps/one"]');
    writeFileSync(path.join(folder, "example.test.mjs"), code);
    const env = { ...process.env };
    // The runner's mark would make the inner run report to this one.
    delete env.NODE_TEST_CONTEXT;
    const args = ["--test", "--test-reporter=tap", "--test-name-pattern=burst|one-gap"];
    args.push("example.test.mjs");
    const done = promisify(execFile)(process.execPath, args, { cwd: folder, env });
    const { stdout } = await done.catch((error) => assert.fail(error.stdout + error.stderr));
    assert.match(stdout, /ok \d+ - my client recovers a burst/);
    assert.match(stdout, /ok \d+ - my client, one-gap/);
    assert.match(stdout, /# fail 0/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
