// Loads the cells of the strip from the program.

import { get } from "./api.js";

/** Interval at which the cells of the whole session are loaded, ms. */
const WHOLE_EVERY = 1000;

/** Loads cells: one request at a time, always for the newest view. */
export class StripLoader {
  /** First and last sequence and packets a second, of the newest state. */
  session = null;
  /** Cells `{ from, width, cells }` of the shown range and a bit more, and of the whole session. */
  shown = null;
  whole = null;
  /** Indices of the counts of a cell that the buttons "previous" and "next" search for. */
  searched = [1, 2, 3];
  #view;
  #pixels;
  #loaded;
  #busy = false;
  #isStale = false;
  #wholeDue = 0;

  constructor(view, pixels, loaded) {
    this.#view = view;
    this.#pixels = pixels;
    this.#loaded = loaded;
  }

  clear() {
    this.shown = this.whole = this.session = null;
    this.#wholeDue = 0;
  }

  async load() {
    this.#isStale = true;
    if (this.#busy || this.session === null || document.hidden) return;
    this.#busy = true;
    try {
      while (this.#isStale && this.session) {
        this.#isStale = false;
        await this.#round();
        this.#loaded();
      }
    } catch {
      // The event stream notices that the program is gone, and reports it.
    } finally {
      this.#busy = false;
    }
  }

  async #round() {
    const [first, last, rate] = this.session;
    const pixels = this.#pixels();
    if (last < first || pixels === 0) return;
    const cells = await fetchCells(this.#view.withSession(first, last, rate).cellRequest(pixels));
    if (this.session === null) return;
    // Set only now, so that the view never shows a range whose cells are not loaded.
    this.#view.setSession(first, last, rate);
    this.shown = cells;
    if (Date.now() < this.#wholeDue) return;
    this.#wholeDue = Date.now() + WHOLE_EVERY;
    const width = Math.max(1, Math.ceil((last - first + 1) / pixels));
    const count = Math.ceil((last - first + 1) / width);
    const to = first + count * width - 1;
    const whole = await fetchCells({ from: first, to, cells: count });
    if (this.session !== null) this.whole = whole;
  }

  /**
   * Returns the middle and width of the nearest cell with a searched count, to the right (1) or to
   * the left (-1); or null.
   */
  find(direction) {
    const near = (source) => nearest(source, this.#view, direction, this.searched);
    return near(this.shown) ?? near(this.whole);
  }
}

/** Returns `{ from, width, cells, exact }`; counts of cells narrower than `exact` are estimates. */
async function fetchCells({ from, to, cells }) {
  return get(`/api/strip?from=${from}&to=${to}&cells=${cells}`);
}

function nearest(source, view, direction, searched) {
  let found = null;
  source?.cells.forEach((cell, index) => {
    if (searched.every((state) => cell[state] === 0)) return;
    const middle = source.from + (index + 0.5) * source.width;
    const away = (middle - view.searchStart) * direction;
    if (away < Math.max(1, view.span / 200)) return;
    if (found === null || away < found.away) found = { middle, width: source.width, away };
  });
  return found;
}
