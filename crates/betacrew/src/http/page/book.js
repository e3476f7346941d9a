// Order books: best prices of each symbol, and the depth of the chosen one.

import { make, setAttr, setText, syncChildren, tableRow } from "./dom.js";
import { number } from "./format.js";

const LEVELS = 5;

export function book(root) {
  const best = root.querySelector(".best tbody");
  const depth = root.querySelector(".depth");
  const note = root.querySelector(".note");
  let chosen = null;
  let last = [];

  best.addEventListener("click", (event) => {
    const symbol = event.target.closest("button")?.dataset.symbol;
    if (symbol === undefined) return;
    chosen = symbol;
    show();
  });

  function show() {
    syncChildren(best, last, ({ symbol }) => symbol, create, fill);
    const shown = last.find(({ symbol }) => symbol === chosen) ?? last[0];
    if (!shown) return;
    const spread = shown.bid && shown.ask ? number(shown.ask[0] - shown.bid[0]) : "–";
    setText(depth.caption, `${shown.symbol}, spread ${spread}`);
    ladder(depth.tBodies[0], shown);
  }

  function create({ symbol }) {
    const line = tableRow(["", "n", "n bid", "n ask", "n", "n"]);
    line.firstChild.append(make("button", { type: "button", class: "quiet", text: symbol,
      "data-symbol": symbol }));
    return line;
  }

  function fill(line, { symbol, bid, ask, last: traded }) {
    const cells = line.children;
    const pressed = symbol === (chosen ?? last[0].symbol);
    setAttr(cells[0].firstChild, "aria-pressed", pressed);
    setAttr(line, "data-chosen", pressed);
    [bid?.[1], bid?.[0], ask?.[0], ask?.[1], traded].forEach((value, index) =>
      setText(cells[index + 1], number(value)));
  }

  return {
    update(state) {
      root.hidden = state.book === undefined;
      last = state.book ?? [];
      setText(note, last.length ? `${last.length} symbol${last.length === 1 ? "" : "s"}` : "empty");
      depth.hidden = last.length === 0;
      show();
    },
  };
}

/** Draws asks above bids, the best ones in the middle; bars show the quantities. */
function ladder(body, { bids = [], asks = [] }) {
  const most = Math.max(1, ...[...bids, ...asks].map(([, quantity]) => quantity));
  const pad = (levels) => Array.from({ length: LEVELS }, (_, index) => levels[index] ?? null);
  const levels = [
    ...pad(asks).reverse().map((level, index) => ({ side: "ask", level, index })),
    ...pad(bids).map((level, index) => ({ side: "bid", level, index })),
  ];
  syncChildren(body, levels, ({ side, index }) => side + index, ({ side }) => {
    const line = tableRow([`n bid`, "n price", `n ask`]);
    line.className = side;
    line.children[side === "bid" ? 0 : 2].append(make("i"), make("span"));
    return line;
  }, (line, { side, level }) => {
    const cell = line.children[side === "bid" ? 0 : 2];
    setText(line.children[1], level ? number(level[0]) : "");
    setText(cell.lastChild, level ? number(level[1]) : "");
    cell.firstChild.style.width = level ? `${((100 * level[1]) / most).toFixed(1)}%` : "0";
  });
}
