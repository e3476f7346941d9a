// Entry point of the page: passes each state of the program to the sections that show it.

import { follow } from "./api.js";
import { book } from "./book.js";
import { connections, events } from "./connections.js";
import { faultControls } from "./fault_controls.js";
import { feedBadge } from "./feed_badge.js";
import { figures } from "./figures.js";
import { gaps, lines } from "./gaps.js";
import { pageLink } from "./page_link.js";
import { strip } from "./strip.js";
import { timeCharts } from "./time_charts.js";

const byId = (name) => document.getElementById(name);
const faults = faultControls(byId("controls"));
const sections = [
  feedBadge(byId("feed")),
  figures(byId("figures"), byId("role"), byId("facts"), byId("version")),
  strip(byId("strip")),
  timeCharts(byId("rates")),
  gaps(byId("gaps")),
  lines(byId("lines")),
  connections(byId("connections"), faults.connection),
  faults,
  book(byId("book")),
  events(byId("events")),
];
const link = pageLink(byId("link"), byId("banner"));
/** Start of the program, and session, whose data is shown. */
let shownRun = null;
let shownSession = null;

function showState(now) {
  const name = `${now.role} ${now.started}`;
  const isRestart = shownRun !== null && shownRun !== name;
  const isOtherSession = shownSession !== null && now.session?.id !== shownSession;
  if (isRestart || isOtherSession) {
    for (const section of sections) section.reset?.(isRestart ? "run" : "session");
  }
  shownRun = name;
  shownSession = now.session?.id ?? null;
  link.received(now.now, isRestart);
  document.body.dataset.role = now.role;
  for (const section of sections) section.update(now);
}

follow(showState, link.changed);
