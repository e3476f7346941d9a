// Formats of numbers, times and ranges.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** Formats a number as 1,234,567; an unknown one as a dash. */
export const number = (value) => (value == null ? "–" : whole.format(value));

const money = new Intl.NumberFormat("en-GB",
  { minimumFractionDigits: 2, maximumFractionDigits: 4 });

/** Formats a number of dollars as 1,234.50; an unknown one as a dash. */
export const dollars = (value) => (value == null ? "–" : money.format(value));

/** Formats a number with three digits and a unit: 12.3k, 4.56M. */
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

/** Formats a number of bytes: 12.3 kB. */
export const bytes = (value) =>
  value == null ? "–" : `${short(value)}B`.replace(/[kMGT]?B$/, " $&");

/** Formats a duration in milliseconds with a fitting unit: 12 ms, 3.4 s. */
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
 * Formats a time as 14:03:27 of the reader's clock, the only kind of time on the page. Tips add the
 * time that has elapsed; only durations are shown as durations.
 */
export function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB", { hour12: false });
}

/** Formats a time with milliseconds: 14:03:27.045. */
export const exact = (at) =>
  `${clock(at)}.${String(Math.floor(at) % 1000).padStart(3, "0")}`;

/** Formats a time with its distance from the start: 14:03:27, 2 min 3 s after the start. */
export const moment = (at, started) =>
  `${clock(at)}, ${time(Math.max(0, at - started))} after the start`;

/** Formats a share in percent, with two digits. */
export function share(part, whole) {
  if (!whole || part == null) return "";
  return `${Number(((100 * part) / whole).toPrecision(2))} %`;
}

/** Formats a range of sequences: 5, or 5–9. */
export const range = (first, last) =>
  first === last ? number(first) : `${number(first)}–${number(last)}`;

/** Formats a count with its noun: 1 packet, 2 packets. */
export const count = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;
