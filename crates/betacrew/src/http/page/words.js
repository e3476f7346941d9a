// How numbers are said.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** 1,234,567; a dash for what is not known. */
export const number = (value) => (value == null ? "–" : whole.format(value));

/** Three digits and a unit: 12.3k, 4.56M. */
export function short(value, digits = 3) {
  if (value == null) return "–";
  const units = ["", "k", "M", "G", "T"];
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  if (unit === 0 && Number.isInteger(value)) return String(value);
  return Number(value.toPrecision(digits)) + units[unit];
}

/** 12.3 kB. */
export const bytes = (value) =>
  value == null ? "–" : `${short(value)}B`.replace(/[kMGT]?B$/, " $&");

/** Milliseconds as a person says them. */
export function time(ms) {
  if (ms == null) return "–";
  if (ms === 0) return "0";
  if (ms < 0.0995) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (hours === 0) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${hours} h ${minutes % 60} min`;
}

/**
 * 14:03:27 of the reader's clock: the one kind of time on the page. What has elapsed is said in
 * tips, and only spans are said as spans.
 */
export function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB", { hour12: false });
}

/** 14:03:27.045. */
export const exact = (at) =>
  `${clock(at)}.${String(Math.floor(at) % 1000).padStart(3, "0")}`;

/** A time with what had elapsed then: 14:03:27, 2 min 3 s after the start. */
export const moment = (at, started) =>
  `${clock(at)}, ${time(Math.max(0, at - started))} after the start`;

/** A share in percent, with two digits. */
export function share(part, whole) {
  if (!whole || part == null) return "";
  return `${Number(((100 * part) / whole).toPrecision(2))} %`;
}

/** 5, or 5–9. */
export const range = (first, last) =>
  first === last ? number(first) : `${number(first)}–${number(last)}`;

/** 1 packet, 2 packets. */
export const count = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;
