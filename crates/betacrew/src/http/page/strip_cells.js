// Draws the cells of the strip. Position and pattern tell states apart, not only colour: received
// is plain at the bottom, recovered hatched above it, in flight dotted, missing on top.

export const STATES = ["received", "recovered", "missing", "flight"];
/** Order of the states in a column, from the bottom up. */
const ORDER = [0, 1, 3, 2];
/** Minimum height of each state that occurs, in pixels, so that small shares are visible. */
const HEIGHT_MIN = [2, 2, 4, 3];

/** Returns the page's current colours and patterns, for a canvas. */
export function inks(canvas) {
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const ink = { line: colour("line"), soft: colour("soft"), empty: colour("empty") };
  for (const state of STATES) ink[state] = colour(state);
  const context = canvas.getContext("2d");
  ink.recoveredFill = pattern(context, ink.recovered, colour("panel"), hatch);
  ink.flightFill = pattern(context, ink.flight, colour("panel"), dots);
  ink.fills = [ink.received, ink.recoveredFill, ink.missing, ink.flightFill];
  ink.plain = [ink.received, ink.recovered, ink.missing, ink.flight];
  return ink;
}

function pattern(context, colour, paper, draw) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const on = tile.getContext("2d");
  on.fillStyle = colour;
  on.fillRect(0, 0, 6, 6);
  on.globalAlpha = 0.6;
  on.strokeStyle = on.fillStyle = paper;
  draw(on);
  return context.createPattern(tile, "repeat");
}

function hatch(on) {
  on.lineWidth = 1.5;
  on.beginPath();
  for (const x of [-6, 0, 6]) {
    on.moveTo(x, 6);
    on.lineTo(x + 6, 0);
  }
  on.stroke();
}

function dots(on) {
  on.fillRect(1, 1, 2, 2);
  on.fillRect(4, 4, 2, 2);
}

/**
 * Draws one cell: a column from `x0` to `x1` that stands on `floor` and is `height` pixels high if
 * full. `width` is its number of sequences.
 */
export function column(context, ink, cell, x0, x1, floor, height, width) {
  const total = cell[0] + cell[1] + cell[2] + cell[3];
  if (total === 0) return;
  const full = height * Math.min(1, total / width);
  const wide = x1 - x0;
  let y = floor;
  const parts = ORDER.filter((state) => cell[state] > 0);
  const heights = parts.map((state) => Math.max(HEIGHT_MIN[state], (full * cell[state]) / total));
  // The largest state gives the height that the minimum heights take beyond their share.
  const over = heights.reduce((sum, each) => sum + each, 0) - Math.max(full, 4 * parts.length);
  heights[heights.indexOf(Math.max(...heights))] -= over;
  parts.forEach((state, index) => {
    const tall = heights[index];
    y -= tall;
    context.fillStyle = wide >= 3 ? ink.fills[state] : ink.plain[state];
    if (state === 2 && wide >= 6) {
      context.strokeStyle = ink.missing;
      context.lineWidth = 1.5;
      context.strokeRect(x0 + 0.75, y + 0.75, wide - 1.5, tall - 1.5);
    } else {
      context.fillRect(x0, y, wide, tall);
    }
  });
}

/** Draws the pointer over a column with missing packets. */
export function pointer(context, ink, x, y) {
  context.fillStyle = ink.missing;
  context.beginPath();
  context.moveTo(x - 3.5, y - 6);
  context.lineTo(x + 3.5, y - 6);
  context.lineTo(x, y - 0.5);
  context.fill();
}

/** Returns round numbers for an axis, about one every `about` sequences. */
export function ticks(from, to, about) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, about)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= about);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}
