// The page: one stream of states, shown by the parts.

import { book } from "./book.js";
import { connections, events } from "./connections.js";
import { controls } from "./controls.js";
import { feed } from "./feed.js";
import { figures } from "./figures.js";
import { gaps, lines } from "./gaps.js";
import { link } from "./link.js";
import { rates } from "./rates.js";
import { follow } from "./stream.js";
import { strip } from "./strip.js";

const by = (name) => document.getElementById(name);
const faults = controls(by("controls"));
const parts = [
  feed(by("feed")),
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
const page = link(by("link"), by("banner"));
/** Which start of the program, and which session, is drawn. */
let run = null;
let session = null;

function state(now) {
  const name = `${now.role} ${now.started}`;
  const again = run !== null && run !== name;
  const other = session !== null && now.session?.id !== session;
  if (again || other) parts.forEach((part) => part.reset?.(again ? "run" : "session"));
  run = name;
  session = now.session?.id ?? null;
  page.heard(now.now, again);
  document.body.dataset.role = now.role;
  for (const part of parts) part.update(now);
}

follow(state, page.turned);
