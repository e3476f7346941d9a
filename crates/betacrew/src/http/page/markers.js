// What happened, as markers in the charts: a line at its time with a sign on top, several that are
// close together as one. The sign says what kind it is, by form as well as by colour.

import { count, moment } from "./words.js";

/** Markers that are closer than this, in pixels, are one. */
const NEAR = 7;
/** The cursor is at a marker this close, in pixels. */
const REACH = 6;
/** How many events a tip names. */
const NAMED = 5;

/** Form and colour by kind. */
const SIGNS = {
  faults: ["square", "accent"], lose: ["down", "bad"], pause: ["square", "flight"],
  stall: ["square", "flight"], cut: ["down", "bad"], connected: ["ring", "good"],
  disconnected: ["cross", "soft"], silent: ["square", "flight"], unreachable: ["cross", "bad"],
  session: ["square", "accent"], over: ["square", "soft"],
};
/** Where several kinds are one marker, the first of these says what it looks like. */
const FIRST = ["unreachable", "cut", "lose", "silent", "stall", "pause", "faults", "session",
  "over", "disconnected", "connected"];

/** The events that are marked, without repeats, the oldest first. */
export class Markers {
  #known = new Map();

  /** Takes events in any order; forgets those before `oldest`. */
  add(events, oldest) {
    for (const event of events) {
      if (event.kind !== "log") this.#known.set(`${event.at} ${event.kind} ${event.text}`, event);
    }
    for (const [name, { at }] of this.#known) if (at < oldest) this.#known.delete(name);
  }

  clear() {
    this.#known.clear();
  }

  /** Groups of events by where they are, `[{ x, events }]`; `place` gives a time its pixel. */
  groups(place) {
    const events = [...this.#known.values()].sort((one, other) => one.at - other.at);
    const groups = [];
    for (const event of events) {
      const x = place(event.at / 1000);
      const last = groups.at(-1);
      if (last && x - last.x < NEAR) last.events.push(event);
      else groups.push({ x, events: [event] });
    }
    return groups;
  }
}

/** Draws the markers of a chart on its canvas. */
export function drawMarkers(plot, markers, colour) {
  const { ctx: context, bbox: box } = plot;
  const ratio = devicePixelRatio || 1;
  const place = (at) => plot.valToPos(at, "x", false);
  context.save();
  for (const { x, events } of markers.groups(place)) {
    const left = Math.round(box.left + x * ratio);
    if (left < box.left || left > box.left + box.width) continue;
    const kind = FIRST.find((each) => events.some((event) => event.kind === each));
    const [form, ink] = SIGNS[kind] ?? ["square", "soft"];
    context.strokeStyle = context.fillStyle = colour(ink);
    context.lineWidth = ratio;
    context.globalAlpha = 0.55;
    context.setLineDash([2 * ratio, 2 * ratio]);
    context.beginPath();
    context.moveTo(left, box.top);
    context.lineTo(left, box.top + box.height);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
    sign(context, form, left, box.top - 4 * ratio, 3.2 * ratio);
  }
  context.restore();
}

function sign(context, form, x, y, r) {
  context.lineWidth = r / 2;
  context.beginPath();
  if (form === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
  if (form === "ring") context.arc(x, y, r * 0.9, 0, 2 * Math.PI);
  if (form === "down") {
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y - r);
    context.lineTo(x, y + r);
  }
  if (form === "cross") {
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r);
    context.lineTo(x - r, y + r);
  }
  if (form === "cross" || form === "ring") context.stroke();
  else context.fill();
}

/** A short line at the foot of a chart for each point at which gaps were found, or given up. */
export function drawGaps(plot, points, colour) {
  const { ctx: context, bbox: box } = plot;
  const ratio = devicePixelRatio || 1;
  context.save();
  points.list.forEach(({ at }, index) => {
    const lost = points.step(index, "lost") > 0;
    if (!lost && points.step(index, "gaps") === 0) return;
    const x = box.left + plot.valToPos(at / 1000, "x", false) * ratio;
    if (x < box.left || x > box.left + box.width) return;
    context.fillStyle = colour(lost ? "bad" : "missing");
    const high = (lost ? 8 : 3) * ratio;
    context.fillRect(Math.round(x), box.top + box.height - high, ratio, high);
  });
  context.restore();
}

/** What is said of the moment under the cursor: when it is, and what happened there. */
export function tip(plot, markers, points, index, started) {
  const at = plot.data[0][index] * 1000;
  const place = (seconds) => plot.valToPos(seconds, "x", false);
  const near = markers.groups(place).filter(({ x, events }) =>
    Math.min(Math.abs(x - plot.cursor.left), Math.abs(place(events.at(-1).at / 1000) -
      plot.cursor.left)) <= REACH).flatMap(({ events }) => events);
  const gaps = points.step(index, "gaps");
  const lost = points.step(index, "lost");
  return [
    moment(near[0]?.at ?? at, started),
    ...near.slice(0, NAMED).map(({ text }) => text),
    near.length > NAMED ? `and ${near.length - NAMED} more` : "",
    gaps > 0 ? `${count(gaps, "gap")} found` : "",
    lost > 0 ? `${count(lost, "packet")} given up` : "",
  ].filter(Boolean).join("\n");
}
