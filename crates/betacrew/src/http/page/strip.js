// The sequence strip: a mark for each sequence, or for as many as share a pixel. The program is
// asked for as many cells as there are pixels, however long the session.

import { hands } from "./hands.js";
import { Loader } from "./loader.js";
import { STATES } from "./marks.js";
import { Scene } from "./scene.js";
import { keep, make, mark, say } from "./table.js";
import { View } from "./view.js";
import { count, number, range, share } from "./words.js";

/** What the four counts of a cell are called; the exchange has nothing in flight. */
const NAMES = {
  client: ["received", "recovered", "missing", "in flight"],
  exchange: ["sent", "resent", "dropped", null],
};
/** In which order they are said: an exchange's resends are no part of the sum before them. */
const SAID = { client: [0, 1, 2, 3], exchange: [0, 2, 1] };

export function strip(root) {
  const plot = root.querySelector(".plot");
  const tip = root.querySelector(".tip");
  const view = new View();
  const scene = new Scene(root.querySelector(".marks"), root.querySelector(".whole"));
  const loader = new Loader(view, () => plot.clientWidth, soon);
  let role = "client";
  let pointing = null; // Where the mouse is, in pixels from the left.
  let waiting = false;

  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (document.hidden || plot.clientWidth === 0) return;
      const under = pointing === null ? null : at(pointing / plot.clientWidth);
      scene.draw(view, loader.shown, loader.whole, under, role);
      hover(under);
      summary();
    });
  }

  function moved() {
    soon();
    loader.load();
  }

  function told(counts) {
    const parts = SAID[role].filter((state) => counts[state] > 0 || state === 0).map((state) =>
      [state, `${NAMES[role][state]} ${number(counts[state])}`]);
    if (role !== "exchange") return parts.map(([, text]) => text).join(" · ");
    // What was dropped, of all that came up in streams.
    const lost = ` (${share(counts[2], counts[0] + counts[2])})`;
    return parts.map(([state, text]) => (state === 2 ? text + lost : text)).join(" · ");
  }

  /** The cell at a share of the width. */
  function at(share) {
    const { shown } = loader;
    const sequence = Math.floor(view.from + share * view.span);
    if (!shown || sequence > view.last || sequence < view.first) return null;
    const index = Math.floor((sequence - shown.from) / shown.width);
    if (!shown.cells[index]) return null;
    const first = shown.from + index * shown.width;
    const last = Math.min(view.last, first + shown.width - 1);
    return { first, last, counts: shown.cells[index] };
  }

  function hover(cell) {
    tip.hidden = cell === null;
    if (cell === null) return;
    say(tip, `${range(cell.first, cell.last)}\n${told(cell.counts)}`);
    const most = plot.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.min(Math.max(0, pointing - tip.offsetWidth / 2), most)}px`;
  }

  function summary() {
    const { shown } = loader;
    const first = Math.max(view.first, Math.ceil(view.from));
    const last = Math.min(view.last, Math.floor(view.from + view.span));
    const counts = [0, 0, 0, 0];
    shown?.cells.forEach((cell, index) => {
      const begin = shown.from + index * shown.width;
      if (begin + shown.width > first && begin <= last) {
        cell.forEach((n, state) => { counts[state] += n; });
      }
    });
    const about = shown?.width < shown?.exact ? "about " : "";
    const each = shown?.width > 1 ? `, ${number(shown.width)} a mark` : "";
    say(root.querySelector("#strip-says"), view.last < view.first ? "No packets yet"
      : `${range(first, last)}${each}: ${about}${told(counts)}`);
    mark(root.querySelector("[data-do=follow]"), "aria-pressed", view.following);
  }

  hands(root, view, moved, (forward) => {
    const found = loader.loss(forward);
    // Near enough to see what in the cell was lost.
    if (found !== null) view.centre(found.middle, Math.max(400, 3 * found.width));
  });
  plot.addEventListener("pointermove", (event) => {
    pointing = event.clientX - plot.getBoundingClientRect().left;
    soon();
  });
  plot.addEventListener("pointerleave", () => {
    pointing = null;
    soon();
  });
  addEventListener("theme", soon);
  document.addEventListener("visibilitychange", moved);
  new ResizeObserver(moved).observe(plot);

  function key() {
    keep(root.querySelector("#strip-key"), SAID[role], (state) => `${role} ${state}`,
      (state) => make("li", { class: STATES[state] }), (item, state) =>
        say(item, role === "exchange" && state === 1 ? "resent (band below)" : NAMES[role][state]));
  }

  return {
    /** Forgets what another run, or another session, has shown. */
    reset() {
      view.last = 0;
      view.following = true;
      loader.forget();
    },
    update(state) {
      role = state.role in NAMES ? state.role : "client";
      // What was requested again and never dropped is no loss.
      loader.losses = role === "exchange" ? [2] : [1, 2, 3];
      key();
      const last = state.highest ?? state.session?.last ?? 0;
      const missing = state.missing == null ? "" : `; ${count(state.missing, "packet")} missing`;
      mark(plot, "aria-label", `Sequences up to ${number(last)}${missing}`);
      loader.news = [state.session?.first ?? 1, last, state.rates?.packets ?? 0];
      loader.load();
    },
  };
}
