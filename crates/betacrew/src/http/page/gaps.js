// Tables of a client's gaps and of its lines.

import { columnNames, make, setAttr, setText, syncChildren, tableRow } from "./dom.js";
import { clock, exact, number, range, time } from "./format.js";

/** Sign and label of each state of a gap. */
const STATES = {
  open: ["○", "open"], requested: ["◐", "requested"], filled: ["●", "filled"],
  abandoned: ["✕", "abandoned"],
};

function stateOf(gap) {
  if (gap.filled != null) return "filled";
  if (gap.abandoned != null) return "abandoned";
  return gap.requested != null ? "requested" : "open";
}

export function gaps(root) {
  const body = root.querySelector("tbody");
  const note = root.querySelector(".note");
  const names = columnNames(root);
  return {
    update(state) {
      root.hidden = state.role !== "client";
      if (root.hidden) return;
      const began = state.recording_began ?? state.started;
      const list = [...(state.gaps ?? [])].sort((one, other) => other.id - one.id);
      const since = state.now - began;
      const took = (gap) => (gap.filled ?? gap.abandoned ?? since) - gap.opened;
      // All bars have one scale, so that a slow gap stands out. The scale fits the fastest 90 %.
      const times = list.map(took).sort((one, other) => one - other);
      const scale = Math.max(0.01, (times[Math.floor(times.length * 0.9)] ?? 1) * 1.25);
      setText(note,
        list.length ? `newest ${list.length}, bars up to ${time(scale)}` : "no gaps so far");
      syncChildren(body, list, (gap) => gap.id, () => create(names), (line, gap) => {
        const kind = stateOf(gap);
        const [sign, word] = STATES[kind];
        const cells = line.children;
        setAttr(line, "data-is", kind);
        const again = kind === "requested" && gap.requests > 1 ? `, ${gap.requests} times` : "";
        setText(cells[0], `${sign} ${word}${again}`);
        setText(cells[1], range(gap.first, gap.last));
        setText(cells[2], number(gap.last - gap.first + 1));
        setText(cells[3], exact(began + gap.opened));
        setAttr(cells[3], "title", `${time(gap.opened)} after the recording began`);
        bar(cells[4].firstChild, gap, since, scale);
        setText(cells[5], time(took(gap)));
        setText(cells[6], gap.filled_by ?? "–");
        setText(cells[7], gap.cause);
      });
    },
  };
}

function create(names) {
  const line = tableRow(["state", "n", "n", "n", "line", "n", "", "cause"], names);
  const parts = [make("i", { class: "waiting" }), make("i", { class: "requested" })];
  line.children[4].append(make("div", { class: "timeline", role: "img" }, ...parts));
  return line;
}

/** Draws a timeline: hollow from found to requested, solid from then to filled or abandoned. */
function bar(element, gap, since, scale) {
  const end = gap.filled ?? gap.abandoned ?? since;
  // Filled without a request: all solid. Missing without a request: all hollow.
  const requested = Math.min(end, gap.requested ?? (gap.filled == null ? end : gap.opened));
  const share = (ms) => `${Math.max(0, Math.min(100, (100 * ms) / scale)).toFixed(2)}%`;
  const [waitingPart, requestedPart] = element.children;
  waitingPart.hidden = requested === gap.opened;
  waitingPart.style.width = share(requested - gap.opened);
  requestedPart.style.left = share(requested - gap.opened);
  requestedPart.style.width = share(end - requested);
  setAttr(element, "data-long", end - gap.opened > scale);
  const words = [
    gap.requested == null ? "not requested"
      : `requested after ${time(gap.requested - gap.opened)}`,
    gap.requests > 1 ? `${number(gap.requests)} times` : "",
    gap.abandoned == null ? "" : `abandoned after ${time(gap.abandoned - gap.opened)}`,
    gap.filled == null ? `${number(gap.missing)} still missing`
      : `filled after ${time(gap.filled - gap.opened)}`,
  ].filter(Boolean).join(", ");
  setAttr(element, "aria-label", words);
  setAttr(element, "title", words);
}

/** Sign of each state of a line. */
const SIGNS = {
  streaming: "●", following: "●", connecting: "◌", silent: "◍", unreachable: "✕", dead: "✕",
};

/** Returns the logins of a SoupBinTCP line in words. */
function logins(soup) {
  if (soup == null) return "";
  return [
    `${number(soup.logins)} accepted`,
    soup.rejects > 0 ? `${number(soup.rejects)} rejected` : "",
    soup.rejection ?? "",
    soup.silences > 0 ? `${number(soup.silences)} silent` : "",
    `${number(soup.heartbeats)} heartbeats`,
  ].filter(Boolean).join(", ");
}

/** Returns the datagrams of a MoldUDP64 line in words. */
function datagrams(mold) {
  if (mold == null) return "";
  const ignored = mold.other_session + mold.strangers + mold.malformed;
  const trip = mold.round_trip_ms;
  return [
    `${number(mold.datagrams)} datagrams`,
    mold.requests > 0 ? `${number(mold.requests)} requests` : "",
    trip == null ? "" : `answered in ${trip.toFixed(trip < 10 ? 1 : 0)} ms`,
    mold.kernel_drops > 0 ? `${number(mold.kernel_drops)} dropped by the kernel` : "",
    ignored > 0 ? `${number(ignored)} ignored` : "",
  ].filter(Boolean).join(", ");
}

export function lines(root) {
  const body = root.querySelector("tbody");
  const heading = root.querySelector("th:last-child");
  const names = columnNames(root);
  return {
    update(state) {
      root.hidden = state.role !== "client";
      if (root.hidden) return;
      const hasLogins = (state.lines ?? []).some(
        (line) => line.soup != null || line.mold != null);
      heading.hidden = !hasLogins;
      const numbered = (state.lines ?? []).map((line, index) => ({ ...line, index }));
      syncChildren(body, numbered, ({ index }) => index,
        () => tableRow(["state", "", "n", "n", "n", "n", ""], names), (element, line) => {
          const cells = element.children;
          setAttr(element, "data-is", line.state);
          const since = line.since == null ? "" : ` since ${clock(line.since)}`;
          setText(cells[0], `${SIGNS[line.state] ?? "○"} ${line.state}${since}`);
          setText(cells[1], `${line.index + 1}  ${line.address}`);
          // A SoupBinTCP line has no gaps, so it can miss nothing.
          const missed = line.soup == null ? number(line.missed) : "–";
          [number(line.delivered), number(line.first), missed, number(line.reconnects)].forEach(
            (text, place) => setText(cells[place + 2], text));
          setText(cells[6], logins(line.soup) || datagrams(line.mold));
          cells[6].hidden = !hasLogins;
        });
    },
  };
}
