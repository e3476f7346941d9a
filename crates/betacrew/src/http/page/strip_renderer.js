// Draws the strip: the shown range, and below it an overview of the whole session.

import { column, inks, pointer, ticks } from "./strip_cells.js";
import { number } from "./format.js";

const TOP = 9;
const AXIS = 18;
/** Height of the band of an exchange's resends, and the distance to the columns above it. */
const BAND = 12;
const APART = 4;

/** Returns the counts of an exchange's cell that belong to streams: sent and dropped. */
const streamed = ([sent, , dropped]) => [sent, 0, dropped, 0];
/** Returns the counts of an exchange's cell that belong to resends. */
const resent = ([, requested]) => [0, requested, 0, 0];

/** Sizes a canvas to its box and clears it. */
function clearCanvas(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  const [wide, high] = [Math.round(box.width), Math.round(box.height)];
  const [w, h] = [Math.round(wide * ratio), Math.round(high * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, wide, high);
  return { context, wide, high };
}

export class StripRenderer {
  #ink = null;
  #canvas;
  #overviewCanvas;

  constructor(canvas, overview) {
    this.#canvas = canvas;
    this.#overviewCanvas = overview;
    addEventListener("theme", () => { this.#ink = null; });
  }

  /**
   * Draws cells `{ from, width, cells }` of the shown range and of the whole session (or null), and
   * a frame around the sequences `marked` (or null). Pointers mark a client's missing packets. An
   * exchange's resends have a band of their own, because a packet that was dropped and resent must
   * not count twice.
   */
  draw(view, shown, whole, marked, role) {
    this.#ink ??= inks(this.#canvas);
    const { context, wide, high } = clearCanvas(this.#canvas);
    const place = (sequence) => ((sequence - view.from) / view.span) * wide;
    const floor = high - AXIS;
    this.#axis(context, view, wide, floor, place);
    context.fillStyle = this.#ink.empty;
    context.fillRect(0, floor - 2, wide, 2);
    const end = Math.min(wide, place(view.last + 1));
    const exchange = role === "exchange";
    const foot = exchange ? floor - BAND - APART : floor;
    const at = { wide, end, place, top: TOP };
    if (shown) {
      const cells = exchange ? shown.cells.map(streamed) : shown.cells;
      const pointers = !exchange;
      this.#columns(context, view, { ...shown, cells }, { ...at, floor: foot, pointers });
    }
    if (shown && exchange) {
      context.fillStyle = this.#ink.empty;
      context.fillRect(0, foot, wide, 1);
      const cells = shown.cells.map(resent);
      this.#columns(context, view, { ...shown, cells }, { ...at, floor, top: floor - BAND });
    }
    if (end < wide && view.last >= view.first) {
      // Line at the live edge.
      context.fillStyle = this.#ink.soft;
      context.fillRect(Math.round(end), TOP, 1, floor - TOP);
    }
    if (marked) {
      const [x0, x1] = [place(marked.first), place(marked.last + 1)];
      context.strokeStyle = this.#ink.soft;
      context.lineWidth = 1;
      context.strokeRect(Math.round(x0) - 0.5, TOP - 0.5, Math.max(2, x1 - x0), floor - TOP + 1);
    }
    this.#overview(view, whole, exchange ? streamed : (cell) => cell);
  }

  #columns(context, view, { from, width, cells }, { wide, floor, top, end, place, pointers }) {
    const gap = (width / view.span) * wide >= 5 ? 1 : 0;
    const begin = Math.max(0, Math.floor((view.from - from) / width));
    let before = -Infinity;
    for (let index = begin; index < cells.length; index += 1) {
      const first = from + index * width;
      const x0 = Math.round(place(first));
      if (x0 > wide) break;
      const x1 = Math.max(x0 + 1, Math.round(place(first + width)) - gap);
      const here = Math.min(width, view.last - first + 1);
      column(context, this.#ink, cells[index], x0, x1, floor, floor - top, here);
      // Columns closer than the pointer's width share one.
      const middle = (x0 + Math.min(x1, end)) / 2;
      if (pointers && cells[index][2] > 0 && middle - before >= 6) {
        pointer(context, this.#ink, middle, top);
        before = middle;
      }
    }
  }

  #axis(context, view, wide, floor, place) {
    context.font = `11px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textBaseline = "top";
    context.textAlign = "center";
    for (const at of ticks(view.from, view.from + view.span, (view.span / wide) * 110)) {
      const x = Math.round(place(at + 0.5));
      const text = number(at);
      const half = context.measureText(text).width / 2;
      context.fillStyle = this.#ink.line;
      context.fillRect(x, floor, 1, 4);
      if (x - half < 0 || x + half > wide) continue;
      context.fillStyle = this.#ink.soft;
      context.fillText(text, x, floor + 5);
    }
  }

  #overview(view, whole, part) {
    const { context, wide, high } = clearCanvas(this.#overviewCanvas);
    const length = Math.max(1, view.last - view.first + 1);
    const place = (sequence) => ((sequence - view.first) / length) * wide;
    context.fillStyle = this.#ink.empty;
    context.fillRect(0, high - 2, wide, 2);
    whole?.cells.forEach((cell, index) => {
      const first = whole.from + index * whole.width;
      const [x0, x1] = [Math.round(place(first)), Math.round(place(first + whole.width))];
      const here = Math.min(whole.width, view.last - first + 1);
      column(context, this.#ink, part(cell), x0, Math.max(x0 + 1, x1), high - 2, high - 6, here);
    });
    const left = Math.min(place(view.from), wide - 4);
    const right = Math.min(wide, place(view.from + view.span));
    context.strokeStyle = this.#ink.soft;
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, 0.75, Math.max(3, right - left - 1.5), high - 1.5);
  }
}
