// Which charts there are for each role, and what they are drawn from.

import { short, time } from "./words.js";

/** A counter's growth a second. */
const growth = (name) => (points, index) => points.growth(index, name);
/** A value as it was. */
const value = (name) => (points, index) => points.list[index][name];

const perSecond = (number) => (number == null ? "–" : `${short(number)}/s`);
const plain = (number) => (number == null ? "–" : short(number));

/** What is drawn for each role. A line is told from the next by its dashes, too. */
export const CHARTS = {
  client: [
    { title: "Packets", say: perSecond, lines: [
      { name: "received", ink: "received", of: growth("packets"), fill: true }] },
    { title: "Losses", say: perSecond, gaps: true, lines: [
      { name: "recovered", ink: "recovered", of: growth("recovered") }],
      level: { name: "missing now", ink: "missing", of: value("missing") } },
    { title: "Resend latency", say: time, axis: time, lines: [
      { name: "median", ink: "received", of: value("resend_p50_ms") },
      { name: "99 %", ink: "missing", dash: [5, 3], of: value("resend_p99_ms") },
    ] },
  ],
  exchange: [
    { title: "Packets", say: perSecond, lines: [
      { name: "sent", ink: "received", of: growth("packets"), fill: true }] },
    { title: "Losses", say: perSecond, lines: [
      { name: "dropped", ink: "missing", dash: [5, 3], of: growth("dropped") },
      { name: "resent", ink: "recovered", of: growth("resent") }] },
    { title: "Furthest behind", say: plain, lines: [
      { name: "packets", ink: "flight", fill: true, of: value("behind") }] },
  ],
};
