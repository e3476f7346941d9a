// Sequence strip: one cell for each sequence, or for the sequences that share a pixel. The program
// is asked for one cell a pixel at most, however long the session is.

import { stripInput } from "./strip_input.js";
import { StripLoader } from "./strip_loader.js";
import { STATES } from "./strip_cells.js";
import { StripRenderer } from "./strip_renderer.js";
import { make, setAttr, setText, syncChildren } from "./dom.js";
import { StripView } from "./strip_view.js";
import { count, number, range, share } from "./format.js";

/** Names of the four counts of a cell. An exchange has nothing in flight. */
const NAMES = {
  client: ["received", "recovered", "missing", "in flight"],
  exchange: ["sent", "resent", "dropped", null],
};
/** Order of the counts in texts. An exchange's resends are not part of the sum before them. */
const TEXT_ORDER = { client: [0, 1, 2, 3], exchange: [0, 2, 1] };

export function strip(root) {
  const plot = root.querySelector(".plot");
  const tip = root.querySelector(".tip");
  const view = new StripView();
  const renderer = new StripRenderer(root.querySelector(".marks"), root.querySelector(".whole"));
  const loader = new StripLoader(view, () => plot.clientWidth, scheduleDraw);
  let role = "client";
  let pointing = null; // Position of the mouse, in pixels from the left.
  let waiting = false;

  function scheduleDraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (document.hidden || plot.clientWidth === 0) return;
      const under = pointing === null ? null : cellAt(pointing / plot.clientWidth);
      renderer.draw(view, loader.shown, loader.whole, under, role);
      hover(under);
      summary();
    });
  }

  function moved() {
    scheduleDraw();
    loader.load();
  }

  function countsText(counts) {
    const parts = TEXT_ORDER[role].filter((state) => counts[state] > 0 || state === 0)
      .map((state) => [state, `${NAMES[role][state]} ${number(counts[state])}`]);
    if (role !== "exchange") return parts.map(([, text]) => text).join(" · ");
    // Share of the dropped packets among all that were due in streams.
    const dropShare = ` (${share(counts[2], counts[0] + counts[2])})`;
    return parts.map(([state, text]) => (state === 2 ? text + dropShare : text)).join(" · ");
  }

  /** Returns the cell at a share of the width. */
  function cellAt(share) {
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
    setText(tip, `${range(cell.first, cell.last)}\n${countsText(cell.counts)}`);
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
    const each = shown?.width > 1 ? `, ${number(shown.width)} a cell` : "";
    setText(root.querySelector("#strip-says"), view.last < view.first ? "No packets yet"
      : `${range(first, last)}${each}: ${about}${countsText(counts)}`);
    setAttr(root.querySelector("[data-do=follow]"), "aria-pressed", view.following);
  }

  stripInput(root, view, moved, (direction) => {
    const found = loader.find(direction);
    // Zoom in far enough to show the single packets of the cell.
    if (found !== null) view.centre(found.middle, Math.max(400, 3 * found.width));
  });
  plot.addEventListener("pointermove", (event) => {
    pointing = event.clientX - plot.getBoundingClientRect().left;
    scheduleDraw();
  });
  plot.addEventListener("pointerleave", () => {
    pointing = null;
    scheduleDraw();
  });
  addEventListener("theme", scheduleDraw);
  document.addEventListener("visibilitychange", moved);
  new ResizeObserver(moved).observe(plot);

  function legend() {
    syncChildren(root.querySelector("#strip-key"), TEXT_ORDER[role], (state) => `${role} ${state}`,
      (state) => make("li", { class: STATES[state] }), (item, state) =>
        setText(item, role === "exchange" && state === 1 ? "resent (band below)"
          : NAMES[role][state]));
  }

  return {
    /** Clears the strip after a restart or for a new session. */
    reset() {
      view.last = 0;
      view.following = true;
      loader.clear();
    },
    update(state) {
      role = state.role in NAMES ? state.role : "client";
      // On an exchange, a packet that was resent but never dropped is not searched.
      loader.searched = role === "exchange" ? [2] : [1, 2, 3];
      legend();
      const last = state.highest ?? state.session?.last ?? 0;
      const missing = state.missing == null ? "" : `; ${count(state.missing, "packet")} missing`;
      setAttr(plot, "aria-label", `Sequences up to ${number(last)}${missing}`);
      loader.session = [state.session?.first ?? 1, last, state.rates?.packets ?? 0];
      loader.load();
    },
  };
}
