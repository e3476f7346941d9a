// Best prices by symbol, and the depth of one of them.

import { keep, make, mark, row, say } from "./table.js";
import { number } from "./words.js";

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
    keep(best, last, ({ symbol }) => symbol, create, fill);
    const shown = last.find(({ symbol }) => symbol === chosen) ?? last[0];
    if (!shown) return;
    const spread = shown.bid && shown.ask ? number(shown.ask[0] - shown.bid[0]) : "–";
    say(depth.caption, `${shown.symbol}, spread ${spread}`);
    ladder(depth.tBodies[0], shown);
  }

  function create({ symbol }) {
    const line = row(["", "n", "n bid", "n ask", "n", "n"]);
    line.firstChild.append(make("button", { type: "button", class: "quiet", text: symbol,
      "data-symbol": symbol }));
    return line;
  }

  function fill(line, { symbol, bid, ask, last: traded }) {
    const cells = line.children;
    const pressed = symbol === (chosen ?? last[0].symbol);
    mark(cells[0].firstChild, "aria-pressed", pressed);
    mark(line, "data-chosen", pressed);
    [bid?.[1], bid?.[0], ask?.[0], ask?.[1], traded].forEach((value, index) =>
      say(cells[index + 1], number(value)));
  }

  return {
    update(state) {
      root.hidden = state.book === undefined;
      last = state.book ?? [];
      say(note, last.length ? `${last.length} symbol${last.length === 1 ? "" : "s"}` : "empty");
      depth.hidden = last.length === 0;
      show();
    },
  };
}

/** Asks above bids, the best ones in the middle, as traders have it; bars say the quantities. */
function ladder(body, { bids = [], asks = [] }) {
  const most = Math.max(1, ...[...bids, ...asks].map(([, quantity]) => quantity));
  const pad = (levels) => Array.from({ length: LEVELS }, (_, index) => levels[index] ?? null);
  const levels = [
    ...pad(asks).reverse().map((level, index) => ({ side: "ask", level, index })),
    ...pad(bids).map((level, index) => ({ side: "bid", level, index })),
  ];
  keep(body, levels, ({ side, index }) => side + index, ({ side }) => {
    const line = row([`n bid`, "n price", `n ask`]);
    line.className = side;
    line.children[side === "bid" ? 0 : 2].append(make("i"), make("span"));
    return line;
  }, (line, { side, level }) => {
    const cell = line.children[side === "bid" ? 0 : 2];
    say(line.children[1], level ? number(level[0]) : "");
    say(cell.lastChild, level ? number(level[1]) : "");
    cell.firstChild.style.width = level ? `${((100 * level[1]) / most).toFixed(1)}%` : "0";
  });
}
