// Key figures, and the facts in the head of the page.

import { make, setAttr, setText, syncChildren } from "./dom.js";
import { bytes, clock, moment, number, share, short, time } from "./format.js";

/** Figures of each role: name, value, optional extra text and optional tone. */
const FIGURES = {
  client: [
    ["Complete up to", ({ frontier }) => number(frontier), ({ frontier, highest }) =>
      `${number(Math.max(0, (highest ?? 0) - (frontier ?? 0)))} behind the highest`],
    ["Highest", ({ highest }) => number(highest)],
    ["Missing", ({ missing }) => number(missing),
      ({ open_gaps: open }) => `in ${number(open ?? 0)} gap${open === 1 ? "" : "s"}`,
      ({ missing }) => (missing > 0 ? "missing" : "")],
    ["Recovered", ({ counters }) => number(counters?.recovered),
      ({ counters }) => share(counters?.recovered, counters?.packets)],
    ["Packets", ({ rates }) => `${short(rates?.packets)}/s`,
      ({ rates }) => `${bytes(rates?.bytes)}/s`],
    ["Resend latency", ({ latency }) => (latency?.count ? time(latency.resend_p50_ms) : "–"),
      ({ latency }) => (latency?.count ? `99 % ${time(latency.resend_p99_ms)}` : "none recently")],
    ["Duplicates", ({ counters }) => number(counters?.duplicates),
      ({ counters }) => `${number(counters?.refused ?? 0)} refused`],
    ["Subscriptions ended", ({ lines = [] }) =>
      number(lines.reduce((sum, line) => sum + line.reconnects, 0)),
      ({ counters }) => `${number(counters?.reconnects ?? 0)} connections broke`],
  ],
  exchange: [
    ["Last sequence", ({ session }) => number(session?.last)],
    ["Packets sent", ({ counters }) => number(counters?.packets),
      ({ counters }) => bytes(counters?.bytes)],
    ["Sending", ({ rates, faults }) => (faults?.paused ? "paused" : `${short(rates?.packets)}/s`),
      ({ rates }) => `${bytes(rates?.bytes)}/s`,
      ({ faults }) => (faults?.paused ? "flight" : "")],
    ["Dropped", ({ counters }) => number(counters?.dropped),
      ({ counters }) => {
        const all = (counters?.streamed ?? 0) + (counters?.dropped ?? 0);
        return all ? `${share(counters.dropped, all)} of ${short(all)} streamed` : "";
      },
      ({ faults }) => (faults?.drop > 0 ? "missing" : "")],
    ["Resent", ({ counters }) => number(counters?.resent),
      ({ counters }) => `${number(counters?.refused ?? 0)} refused`],
    ["Logins", ({ soup }) => number(soup?.logins),
      ({ soup }) => `${number(soup?.rejects ?? 0)} rejected, ${number(soup?.heartbeats ?? 0)} heartbeats`],
    ["Datagrams", ({ mold }) => number(sum(mold, "datagrams")),
      ({ mold }) => `${number(sum(mold, "dropped"))} dropped, ${number(sum(mold, "damaged"))} damaged`],
    ["Requests", ({ mold }) => number(sum(mold, "requests")),
      ({ mold }) => `${number(sum(mold, "answers"))} answered, ${number(sum(mold, "refused"))} refused`],
    ["Connections", ({ connections_total: total, connections }) =>
      number(total ?? connections?.length),
      ({ counters }) => `${number(counters?.connections)} in total`],
  ],
};

/** Sum of one count over the lines in MoldUDP64. */
function sum(lines, count) {
  return (lines ?? []).reduce((sum, line) => sum + line[count], 0);
}

/** Only an exchange with SoupBinTCP has logins, and only one with MoldUDP64 has datagrams. */
function isThere(name, state) {
  switch (name) {
    case "Logins": return state.soup != null;
    case "Datagrams":
    case "Requests": return state.mold != null;
    default: return true;
  }
}

export function figures(root, role, facts, version) {
  const list = root.querySelector("dl");
  return {
    update(state) {
      setText(role, state.role);
      document.title = `${state.session?.id ?? "–"} ${state.role} · betacrew`;
      setText(version, `betacrew ${state.version ?? ""}`);
      const key = ([name]) => `${state.role} ${name}`;
      const tiles = (FIGURES[state.role] ?? []).filter(([name]) => isThere(name, state));
      syncChildren(list, tiles, key, create, fill);
      function fill(tile, [, value, more, tone]) {
        const [, main, extra] = tile.children;
        setText(main, value(state));
        setText(extra, more?.(state) ?? "");
        setAttr(tile, "data-tone", tone?.(state) ?? "");
      }
      syncChildren(facts, sessionFacts(state), ([name]) => name, fact, (pair, [, value, tip]) => {
        setText(pair.lastElementChild, value);
        setAttr(pair, "title", tip ?? "");
      });
    },
  };
}

function create([name]) {
  return make("div", {}, make("dt", { text: name }), make("dd"), make("dd", { class: "extra" }));
}

const fact = ([name]) => make("div", {}, make("dt", { text: name }), make("dd"));

function sessionFacts({ session, tape, started, now }) {
  const kind = !session?.live ? "whole" : session.over ? "over" : "live";
  return [
    ["Session", session?.id && `${session.id} (${kind})`],
    ["Tape", tape],
    ["Started", started && clock(started), `${time(now - started)} ago`],
    ["Now", clock(now), moment(now, started)],
  ].filter(([, value]) => value);
}
