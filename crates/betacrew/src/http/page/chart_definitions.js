// Charts of each role, and the values that they show.

import { short, time } from "./format.js";

/** Returns a function for a counter's growth a second. */
const growth = (name) => (points, index) => points.growth(index, name);
/** Returns a function for a value of a point. */
const value = (name) => (points, index) => points.list[index][name];

const perSecond = (number) => (number == null ? "–" : `${short(number)}/s`);
const plain = (number) => (number == null ? "–" : short(number));

/** Charts of each role. Dashes tell lines apart, not only colours. */
export const CHARTS = {
  client: [
    { title: "Packets", format: perSecond, lines: [
      { name: "received", ink: "received", of: growth("packets"), fill: true }] },
    { title: "Gaps", format: perSecond, gaps: true, lines: [
      { name: "recovered", ink: "recovered", of: growth("recovered") }],
      level: { name: "missing now", ink: "missing", of: value("missing") } },
    { title: "Resend latency", format: time, axis: time, lines: [
      { name: "median", ink: "received", of: value("resend_p50_ms") },
      { name: "99 %", ink: "missing", dash: [5, 3], of: value("resend_p99_ms") },
    ] },
  ],
  exchange: [
    { title: "Packets", format: perSecond, lines: [
      { name: "sent", ink: "received", of: growth("packets"), fill: true }] },
    { title: "Drops and resends", format: perSecond, lines: [
      { name: "dropped", ink: "missing", dash: [5, 3], of: growth("dropped") },
      { name: "resent", ink: "recovered", of: growth("resent") }] },
    { title: "Slowest stream", format: plain, lines: [
      { name: "behind", ink: "flight", fill: true, of: value("behind") }] },
  ],
};
