// The gap table, and the client's lines.

import { heads, keep, make, mark, row, say } from "./table.js";
import { clock, exact, number, range, time } from "./words.js";

/** What a gap has come to: a sign, a word. */
const STATES = {
  open: ["○", "open"], asked: ["◐", "asked"], filled: ["●", "filled"], lost: ["✕", "given up"],
};

function stateOf(gap) {
  if (gap.filled != null) return "filled";
  if (gap.given_up != null) return "lost";
  return gap.asked != null ? "asked" : "open";
}

export function gaps(root) {
  const body = root.querySelector("tbody");
  const note = root.querySelector(".note");
  const names = heads(root);
  return {
    update(state) {
      root.hidden = state.role !== "client";
      if (root.hidden) return;
      const began = state.recording_began ?? state.started;
      const list = [...(state.gaps ?? [])].sort((one, other) => other.id - one.id);
      const since = state.now - began;
      const took = (gap) => (gap.filled ?? gap.given_up ?? since) - gap.opened;
      // All on one scale, so that a slow one stands out; a scale for what is usual.
      const times = list.map(took).sort((one, other) => one - other);
      const scale = Math.max(0.01, (times[Math.floor(times.length * 0.9)] ?? 1) * 1.25);
      say(note, list.length ? `newest ${list.length}, bars up to ${time(scale)}` : "none so far");
      keep(body, list, (gap) => gap.id, () => create(names), (line, gap) => {
        const kind = stateOf(gap);
        const [sign, word] = STATES[kind];
        const cells = line.children;
        mark(line, "data-is", kind);
        const again = kind === "asked" && gap.asks > 1 ? `, ${gap.asks} times` : "";
        say(cells[0], `${sign} ${word}${again}`);
        say(cells[1], range(gap.first, gap.last));
        say(cells[2], number(gap.last - gap.first + 1));
        say(cells[3], exact(began + gap.opened));
        mark(cells[3], "title", `${time(gap.opened)} after the recording began`);
        bar(cells[4].firstChild, gap, since, scale);
        say(cells[5], time(took(gap)));
        say(cells[6], gap.by ?? "–");
        say(cells[7], gap.cause);
      });
    },
  };
}

function create(names) {
  const line = row(["state", "n", "n", "n", "line", "n", "", "cause"], names);
  const parts = [make("i", { class: "waiting" }), make("i", { class: "asking" })];
  line.children[4].append(make("div", { class: "timeline", role: "img" }, ...parts));
  return line;
}

/** From found to asked, hollow; from asked to filled or given up, solid. */
function bar(element, gap, since, scale) {
  const end = gap.filled ?? gap.given_up ?? since;
  // What came without being asked for is solid, what is missing and was not asked for hollow.
  const asked = Math.min(end, gap.asked ?? (gap.filled == null ? end : gap.opened));
  const share = (ms) => `${Math.max(0, Math.min(100, (100 * ms) / scale)).toFixed(2)}%`;
  const [waiting, asking] = element.children;
  waiting.hidden = asked === gap.opened;
  waiting.style.width = share(asked - gap.opened);
  asking.style.left = share(asked - gap.opened);
  asking.style.width = share(end - asked);
  mark(element, "data-long", end - gap.opened > scale);
  const words = [
    gap.asked == null ? "not asked for"
      : `asked for after ${time(gap.asked - gap.opened)}`,
    gap.asks > 1 ? `${number(gap.asks)} times` : "",
    gap.given_up == null ? "" : `given up after ${time(gap.given_up - gap.opened)}`,
    gap.filled == null ? `${number(gap.missing)} still missing`
      : `filled after ${time(gap.filled - gap.opened)}`,
  ].filter(Boolean).join(", ");
  mark(element, "aria-label", words);
  mark(element, "title", words);
}

/** How a line does: a sign with the word that the program says. */
const SIGNS = {
  streaming: "●", following: "●", connecting: "◌", silent: "◍", unreachable: "✕", dead: "✕",
};

export function lines(root) {
  const body = root.querySelector("tbody");
  const names = heads(root);
  return {
    update(state) {
      root.hidden = state.role !== "client";
      if (root.hidden) return;
      const numbered = (state.lines ?? []).map((line, index) => ({ ...line, index }));
      keep(body, numbered, ({ index }) => index,
        () => row(["state", "", "n", "n", "n", "n"], names), (element, line) => {
          const cells = element.children;
          mark(element, "data-is", line.state);
          const since = line.since == null ? "" : ` since ${clock(line.since)}`;
          say(cells[0], `${SIGNS[line.state] ?? "○"} ${line.state}${since}`);
          say(cells[1], `${line.index + 1}  ${line.address}`);
          [line.delivered, line.first, line.lost, line.reconnects].forEach((value, place) =>
            say(cells[place + 2], number(value)));
        });
    },
  };
}
