// Markers of events in the charts: a line at the event's time with a sign on top. Events close
// together share a marker. Form and colour of the sign show the kind of event.

import { count, moment } from "./format.js";

/** Distance below which markers are merged, in pixels. */
const NEAR = 7;
/** Distance from a marker at which the cursor shows its tip, in pixels. */
const REACH = 6;
/** Maximum number of events named in a tip. */
const NAMED = 5;

/** Form and colour of each kind of event. */
const SIGNS = {
  faults: ["square", "accent"], drop: ["down", "bad"], pause: ["square", "flight"],
  stall: ["square", "flight"], cut: ["down", "bad"], connected: ["ring", "good"],
  disconnected: ["cross", "soft"], silent: ["square", "flight"], unreachable: ["cross", "bad"],
  session: ["square", "accent"], over: ["square", "soft"],
};
/** Kinds by precedence: the first one present decides how a merged marker looks. */
const PRECEDENCE = ["unreachable", "cut", "drop", "silent", "stall", "pause", "faults", "session",
  "over", "disconnected", "connected"];

/** Marked events, without duplicates, oldest first. */
export class Markers {
  #known = new Map();

  /** Adds events in any order; removes those before `oldest`. */
  add(events, oldest) {
    for (const event of events) {
      if (event.kind !== "log") this.#known.set(`${event.at} ${event.kind} ${event.text}`, event);
    }
    for (const [name, { at }] of this.#known) if (at < oldest) this.#known.delete(name);
  }

  clear() {
    this.#known.clear();
  }

  /** Returns groups of events, `[{ x, events }]`; `place` converts a time to a pixel. */
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
    const kind = PRECEDENCE.find((each) => events.some((event) => event.kind === each));
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

/** Draws a short line at the foot of a chart for points with new gaps, a tall one for abandoned. */
export function drawGaps(plot, points, colour) {
  const { ctx: context, bbox: box } = plot;
  const ratio = devicePixelRatio || 1;
  context.save();
  points.list.forEach(({ at }, index) => {
    const isAbandoned = points.step(index, "abandoned") > 0;
    if (!isAbandoned && points.step(index, "gaps") === 0) return;
    const x = box.left + plot.valToPos(at / 1000, "x", false) * ratio;
    if (x < box.left || x > box.left + box.width) return;
    context.fillStyle = colour(isAbandoned ? "bad" : "missing");
    const high = (isAbandoned ? 8 : 3) * ratio;
    context.fillRect(Math.round(x), box.top + box.height - high, ratio, high);
  });
  context.restore();
}

/** Returns the text of the tip at the cursor: the time, and the events at it. */
export function tip(plot, markers, points, index, started) {
  const at = plot.data[0][index] * 1000;
  const place = (seconds) => plot.valToPos(seconds, "x", false);
  const near = markers.groups(place).filter(({ x, events }) =>
    Math.min(Math.abs(x - plot.cursor.left), Math.abs(place(events.at(-1).at / 1000) -
      plot.cursor.left)) <= REACH).flatMap(({ events }) => events);
  const gaps = points.step(index, "gaps");
  const abandoned = points.step(index, "abandoned");
  return [
    moment(near[0]?.at ?? at, started),
    ...near.slice(0, NAMED).map(({ text }) => text),
    near.length > NAMED ? `and ${near.length - NAMED} more` : "",
    gaps > 0 ? `${count(gaps, "gap")} found` : "",
    abandoned > 0 ? `${count(abandoned, "packet")} abandoned` : "",
  ].filter(Boolean).join("\n");
}
