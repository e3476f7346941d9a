// What the program is asked for, so that the strip can be drawn.

import { get } from "./stream.js";

/** How often the whole session is asked for, ms. */
const WHOLE_EVERY = 1000;

/** Gets cells: one request at a time, and the newest wish wins. */
export class Loader {
  /** First and last sequence and packets a second, as the program said last. */
  news = null;
  /** `{ from, width, cells }` of what is shown and a bit more, and of the whole session. */
  shown = null;
  whole = null;
  /** Which of the four counts of a cell are losses. */
  losses = [1, 2, 3];
  #view;
  #pixels;
  #loaded;
  #busy = false;
  #again = false;
  #next = 0;

  constructor(view, pixels, loaded) {
    this.#view = view;
    this.#pixels = pixels;
    this.#loaded = loaded;
  }

  forget() {
    this.shown = this.whole = this.news = null;
    this.#next = 0;
  }

  async load() {
    this.#again = true;
    if (this.#busy || this.news === null || document.hidden) return;
    this.#busy = true;
    try {
      while (this.#again && this.news) {
        this.#again = false;
        await this.#round();
        this.#loaded();
      }
    } catch {
      // The stream notices when the program is gone, and says so.
    } finally {
      this.#busy = false;
    }
  }

  async #round() {
    const [first, last, rate] = this.news;
    const pixels = this.#pixels();
    if (last < first || pixels === 0) return;
    const cells = await fetched(this.#view.ahead(first, last, rate).wanted(pixels));
    if (this.news === null) return;
    // Only now, so that what is drawn of the session is there.
    this.#view.session(first, last, rate);
    this.shown = cells;
    if (Date.now() < this.#next) return;
    this.#next = Date.now() + WHOLE_EVERY;
    const width = Math.max(1, Math.ceil((last - first + 1) / pixels));
    const many = Math.ceil((last - first + 1) / width);
    const to = first + many * width - 1;
    const whole = await fetched({ from: first, to, cells: many });
    if (this.news !== null) this.whole = whole;
  }

  /**
   * The nearest cell with a loss, to the right (1) or to the left (-1): its middle and its width;
   * or null.
   */
  loss(forward) {
    const near = (source) => nearest(source, this.#view, forward, this.losses);
    return near(this.shown) ?? near(this.whole);
  }
}

/** Gives `{ from, width, cells, exact }`: below that width the counts are estimates. */
async function fetched({ from, to, cells }) {
  return get(`/api/strip?from=${from}&to=${to}&cells=${cells}`);
}

function nearest(source, view, forward, losses) {
  let found = null;
  source?.cells.forEach((cell, index) => {
    if (losses.every((state) => cell[state] === 0)) return;
    const middle = source.from + (index + 0.5) * source.width;
    const away = (middle - view.here) * forward;
    if (away < Math.max(1, view.span / 200)) return;
    if (found === null || away < found.away) found = { middle, width: source.width, away };
  });
  return found;
}
