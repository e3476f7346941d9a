// Order books: best prices of each symbol, and the depth of the chosen one.

import { make, setAttr, setText, syncChildren, tableRow } from "./dom.js";
import { count, dollars, number } from "./format.js";

const LEVELS = 5;

/** Returns the key of a book: two stocks of ITCH may have one name. */
const keyOf = ({ symbol, stock_locate }) => String(stock_locate ?? symbol);

/** Returns the format of a book's prices: those of ITCH are dollars. */
const priceOf = ({ stock_locate }) => (stock_locate === undefined ? number : dollars);

export function book(root) {
  const best = root.querySelector(".best tbody");
  const depth = root.querySelector(".depth");
  const note = root.querySelector(".note");
  let chosen = null;
  let last = [];

  best.addEventListener("click", (event) => {
    const key = event.target.closest("button")?.dataset.key;
    if (key === undefined) return;
    chosen = key;
    show();
  });

  function show() {
    syncChildren(best, last, keyOf, create, fill);
    const shown = last.find((book) => keyOf(book) === chosen) ?? last[0];
    if (!shown) return;
    const spread = shown.bid && shown.ask ? priceOf(shown)(shown.ask[0] - shown.bid[0]) : "–";
    setText(depth.caption, `${shown.symbol}, spread ${spread}`);
    ladder(depth.tBodies[0], shown);
  }

  function create(book) {
    const line = tableRow(["", "n", "n bid", "n ask", "n", "n"]);
    line.firstChild.append(make("button", { type: "button", class: "quiet", text: book.symbol,
      "data-key": keyOf(book) }));
    return line;
  }

  function fill(line, book) {
    const { bid, ask, last: traded } = book;
    const cells = line.children;
    const price = priceOf(book);
    const pressed = keyOf(book) === (chosen ?? keyOf(last[0]));
    setAttr(cells[0].firstChild, "aria-pressed", pressed);
    setAttr(line, "data-chosen", pressed);
    setText(cells[0].firstChild, book.symbol);
    [number(bid?.[1]), price(bid?.[0]), price(ask?.[0]), number(ask?.[1]), price(traded)].forEach(
      (text, index) => setText(cells[index + 1], text));
  }

  return {
    update(state) {
      root.hidden = state.book === undefined;
      last = state.book ?? [];
      setText(note, noteOf(last.length, state.book_total, state.book_refused));
      depth.hidden = last.length === 0;
      show();
    },
  };
}

/** Returns how many books there are, and how many messages contradicted them. */
function noteOf(shown, total, refused) {
  if (shown === 0) return "empty";
  const books = total > shown ? `${shown} of ${count(total, "symbol")}` : count(shown, "symbol");
  return refused ? `${books}; ${count(refused, "message")} contradicted them` : books;
}

/** Draws asks above bids, the best ones in the middle; bars show the quantities. */
function ladder(body, book) {
  const { bids = [], asks = [] } = book;
  const price = priceOf(book);
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
    setText(line.children[1], level ? price(level[0]) : "");
    setText(cell.lastChild, level ? number(level[1]) : "");
    cell.firstChild.style.width = level ? `${((100 * level[1]) / most).toFixed(1)}%` : "0";
  });
}
