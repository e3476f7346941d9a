// The gap table, and the client's lines.

import { keep, make, mark, row, say } from "./table.js";
import { number, range, time } from "./words.js";

/** What a gap has come to: a sign, a word. */
const STATES = {
  open: ["○", "open"], asked: ["◐", "asked"], filled: ["●", "filled"], lost: ["✕", "given up"],
};

function stateOf(gap) {
  if (gap.filled != null) return "filled";
  return gap.asked != null ? "asked" : "open";
}

export function gaps(root) {
  const body = root.querySelector("tbody");
  const note = root.querySelector(".note");
  return {
    update(state) {
      root.hidden = state.role !== "client";
      if (root.hidden) return;
      const list = [...(state.gaps ?? [])].sort((one, other) => other.id - one.id);
      const since = state.now - state.started;
      const took = (gap) => (gap.filled ?? since) - gap.opened;
      // All on one scale, so that a slow one stands out; a scale for what is usual.
      const times = list.map(took).sort((one, other) => one - other);
      const scale = Math.max(0.01, (times[Math.floor(times.length * 0.9)] ?? 1) * 1.25);
      say(note, list.length ? `newest ${list.length}, bars up to ${time(scale)}` : "none so far");
      mark(root, "data-causes", list.some((gap) => gap.cause));
      keep(body, list, (gap) => gap.id, create, (line, gap) => {
        const kind = stateOf(gap);
        const [sign, word] = STATES[kind];
        const cells = line.children;
        mark(line, "data-is", kind);
        say(cells[0], `${sign} ${word}`);
        say(cells[1], range(gap.first, gap.last));
        say(cells[2], number(gap.last - gap.first + 1));
        say(cells[3], at(gap.opened));
        bar(cells[4].firstChild, gap, since, scale);
        say(cells[5], time(took(gap)));
        say(cells[6], gap.by ?? "–");
        say(cells[7], gap.cause ?? "–");
      });
    },
  };
}

/** How long after the start: 2:03.456, 1:02:03.456. */
function at(ms) {
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60];
  const seconds = ((Math.floor(ms) / 1000) % 60).toFixed(3).padStart(6, "0");
  if (hours === 0) return `${minutes}:${seconds}`;
  return `${hours}:${String(minutes).padStart(2, "0")}:${seconds}`;
}

function create() {
  const line = row(["state", "n", "n", "n", "line", "n", "", "cause"]);
  const parts = [make("i", { class: "waiting" }), make("i", { class: "asking" })];
  line.children[4].append(make("div", { class: "timeline", role: "img" }, ...parts));
  return line;
}

/** From found to asked, hollow; from asked to filled, solid. */
function bar(element, gap, since, scale) {
  const end = gap.filled ?? since;
  // Where nothing is known of asking, or nothing was asked: filled is solid, missing hollow.
  const asked = gap.asked ?? (gap.filled == null ? end : gap.opened);
  const share = (ms) => `${Math.max(0, Math.min(100, (100 * ms) / scale)).toFixed(2)}%`;
  const [waiting, asking] = element.children;
  waiting.hidden = asked === gap.opened;
  waiting.style.width = share(asked - gap.opened);
  asking.style.left = share(asked - gap.opened);
  asking.style.width = share(end - asked);
  mark(element, "data-long", end - gap.opened > scale);
  const words = [
    gap.asked == null ? "when it was asked for is not known"
      : `asked for after ${time(gap.asked - gap.opened)}`,
    gap.filled == null ? `${number(gap.missing ?? gap.last - gap.first + 1)} still missing`
      : `filled after ${time(gap.filled - gap.opened)}`,
  ].join(", ");
  mark(element, "aria-label", words);
  mark(element, "title", words);
}

/** How a line does: a sign with the word that the program says. */
const SIGNS = { streaming: "●", following: "●", connecting: "◌", dead: "✕" };

export function lines(root) {
  const body = root.querySelector("tbody");
  return {
    update(state) {
      root.hidden = state.role !== "client";
      if (root.hidden) return;
      const numbered = (state.lines ?? []).map((line, index) => ({ ...line, index }));
      keep(body, numbered, ({ index }) => index,
        () => row(["state", "", "n", "n", "n", "n"]), (element, line) => {
          const cells = element.children;
          mark(element, "data-is", line.state);
          say(cells[0], `${SIGNS[line.state] ?? "○"} ${line.state}`);
          say(cells[1], `${line.index + 1}  ${line.address}`);
          [line.delivered, line.first, line.lost, line.reconnects].forEach((value, place) =>
            say(cells[place + 2], number(value)));
        });
    },
  };
}
