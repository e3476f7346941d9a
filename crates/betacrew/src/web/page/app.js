// The page: one stream of states, shown by the parts.

import { book } from "./book.js";
import { connections, events } from "./connections.js";
import { controls } from "./controls.js";
import { figures } from "./figures.js";
import { gaps, lines } from "./gaps.js";
import { rates } from "./rates.js";
import { follow } from "./stream.js";
import { strip } from "./strip.js";
import { mark, say } from "./table.js";

const by = (name) => document.getElementById(name);
const faults = controls(by("controls"));
const parts = [
  figures(by("figures"), by("role"), by("facts"), by("version")),
  strip(by("strip")),
  rates(by("rates")),
  gaps(by("gaps")),
  lines(by("lines")),
  connections(by("connections"), faults.connection),
  faults,
  book(by("book")),
  events(by("events")),
];
const [link, banner] = [by("link"), by("banner")];
/** Another start, or another session, and what was drawn is of something else. */
let run = null;
let lost = false;

function state(now) {
  const name = `${now.role} ${now.started} ${now.session?.id}`;
  if (run !== null && run !== name) {
    parts.forEach((part) => part.reset?.());
    if (lost) notice("The program was started again. What you see begins anew.");
  }
  run = name;
  lost = false;
  document.body.dataset.role = now.role;
  for (const part of parts) part.update(now);
}

let hiding;
function notice(text) {
  banner.hidden = false;
  say(banner, text);
  clearTimeout(hiding);
  hiding = setTimeout(() => { banner.hidden = true; }, 8000);
}

follow(state, (is, more) => {
  mark(link, "data-is", is);
  mark(document.body, "data-link", is);
  say(link, { live: "Live", busy: "Busy: what you see is old", lost: "Not connected" }[is]);
  if (is === "live" && lost) notice("Connected again.");
  if (is === "lost") {
    lost = true;
    clearTimeout(hiding);
    banner.hidden = false;
    say(banner, `The program does not answer; what you see is old; ${more}.`);
  }
});
